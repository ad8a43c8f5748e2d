"""The run's own figures."""

PICTURES = {
    f"{name}.png": ("", f"{name}.png")
    for name in ("manifold", "reconstructions", "samples", "latent_scatter", "curves")
}
