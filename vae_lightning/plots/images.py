"""Images as tiles, and the latent plane of two units."""

import torch
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from torch import Tensor

Image = Float[Tensor, "n channels height width"]
MANIFOLD_SIDE = 20


def image_grid(images: Image, n_columns: int, title: str, value_range: tuple[float, float]) -> Figure:
    """Draw images as tiles, row by row, black at the low end of ``value_range`` and white at the high end.

    Their channels are shown as by :func:`drawable`.
    """
    from torchvision.utils import make_grid

    tiles = make_grid(drawable(images), nrow=n_columns, padding=1, pad_value=sum(value_range) / 2).movedim(0, 2).numpy()
    height, width = tiles.shape[:2]
    tall = max(1.0, 6 * height / width) + 0.4
    figure = Figure(figsize=(6, tall))
    axes = figure.add_axes((0.01, 0.01, 0.98, 1 - 0.36 / tall))
    low, high = value_range
    axes.imshow(((tiles - low) / ((high - low) or 1)).clip(0, 1), interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title, fontsize=10)
    return figure


def drawable(images: Image) -> Image:
    """Return images of one or three channels: of four the last is an opacity, any other number is averaged."""
    n_channels = images.shape[1]
    if n_channels in {3, 4}:
        return images[:, :3]
    return images.mean(1, keepdim=True)  # make_grid makes three equal channels of one


def inverse_normal_grid(side: int = MANIFOLD_SIDE) -> Float[Tensor, "codes 2"]:
    """Return codes on a square grid of equal prior mass: the inverse normal CDF of the cells' midpoints.

    Row by row from the top: the first coordinate grows to the right, the second upwards, as in figure 4 of
    Kingma & Welling 2013.
    """
    quantiles = torch.special.ndtri((torch.arange(side) + 0.5) / side)
    vertical, horizontal = torch.meshgrid(quantiles.flip(0), quantiles, indexing="ij")
    return torch.stack([horizontal.flatten(), vertical.flatten()], dim=1)


def latent_scatter(means: Float[Tensor, "n 2"], labels: Int[Tensor, " n"]) -> Figure:
    """Draw the posterior mean of each image in the latent plane, coloured by class."""
    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    axes = figure.add_subplot()
    n_classes = int(labels.max()) + 1
    horizontal, vertical = means.T.numpy()
    points = axes.scatter(
        horizontal, vertical, c=labels.numpy(), cmap="tab10", s=4, alpha=0.6, vmin=-0.5, vmax=9.5, linewidths=0
    )
    bar = figure.colorbar(points, ax=axes, ticks=range(n_classes), label="class")
    bar.ax.set_ylim(-0.5, n_classes - 0.5)
    if bar.solids is not None:
        bar.solids.set_alpha(1)
    axes.set(xlabel="mean of unit 0", ylabel="mean of unit 1", title="test images in the latent plane")
    axes.set_aspect("equal", adjustable="datalim")
    return figure
