"""Latent planes of an autoencoder, of two with noise, and of two VAEs, and what is drawn from the prior."""

import pandas as pd
from matplotlib.figure import Figure

from vae_lightning.plots import bars_with_errors, panels
from vae_lightning.report.study import Study

MODELS = {
    "autoencoder": "posterior.name=point",
    "noise 1, no penalty": "posterior.name=constant_variance posterior.variance=1 kl_weight=0",
    "noise 0.1 and penalty": "posterior.name=constant_variance posterior.variance=0.1",
    "noise 1 and penalty": "posterior.name=constant_variance posterior.variance=1 kl_weight=1",
    "VAE, weight 0.01": "posterior.name=diagonal kl_weight=0.01",
    "VAE, weight 1": "posterior.name=diagonal kl_weight=1",
}
COLUMNS = {
    "test/distortion": "distortion [nats]",
    "test/continuity": "continuity",
    "test/completeness": "completeness",
    "test/frechet_distance_to_prior": "Fréchet distance of codes to N(0, I)",
}


def with_more(frame: pd.DataFrame, _: pd.DataFrame) -> pd.DataFrame:
    """Add how many of the ten kinds of digits are among the 100 samples, by nearest neighbours; one alone counts."""
    counts = frame.filter(like="samples/count_per_class/")
    return frame.assign(samples_kinds=(counts > 0).sum(axis=1).astype(float))


def numbers(study: Study) -> Figure:
    figure, rows = panels(2, 2)
    for axes, (column, label) in zip(rows.flat, COLUMNS.items(), strict=True):
        bars_with_errors(axes, {name: list(study.runs(runs)[column]) for name, runs in MODELS.items()})
        axes.set_xlabel(label)
    rows.flat[0].set_xlim(left=450)
    rows.flat[3].set_xscale("log")
    return figure


FIGURES = {"numbers.png": numbers}
PICTURES = {
    f"{kind}_{name}.png": (f"{conditions} seed=0", f"{kind}.png")
    for name, conditions in {
        "autoencoder": MODELS["autoencoder"],
        "noise": MODELS["noise 1 and penalty"],
        "vae": MODELS["VAE, weight 1"],
    }.items()
    for kind in ("manifold", "latent_scatter")
}
