"""Thin torchmetrics shells around the functions of this room: they sum over batches and ranks."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from vae_lightning.diagnostics.active_units import MeanMoments
from vae_lightning.diagnostics.over_images import RateDistortion
from vae_lightning.diagnostics.residual import Residuals, kept_images, residuals_of_batch


class Sums(Metric):
    """Sums over images, exact over batches and ranks: in double precision, so that a large mean drowns no variance."""

    full_state_update = False

    def __init__(self, **shapes: tuple[int, ...]) -> None:
        super().__init__()
        for name, shape in shapes.items():
            self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")


class RateDistortionMetric(Sums):
    """Averages the terms of a bound over images."""

    distortion: Tensor
    kl_per_unit: Tensor
    n: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__(distortion=(), kl_per_unit=(latent_dim,), n=())

    def update(self, distortion: Float[Tensor, " batch"], kl_per_unit: Float[Tensor, "batch latent"]) -> None:
        self.distortion += distortion.double().sum()
        self.kl_per_unit += kl_per_unit.double().sum(0)
        self.n += len(distortion)

    def compute(self) -> RateDistortion:
        return RateDistortion(self.distortion / self.n, self.kl_per_unit / self.n)


class PosteriorMeanMoments(Sums):
    """Mean and variance over all images seen of each unit's posterior mean."""

    total: Tensor
    total_squares: Tensor
    n: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__(total=(latent_dim,), total_squares=(latent_dim,), n=())

    def update(self, means: Float[Tensor, "batch latent"]) -> None:
        means = means.double()
        self.total += means.sum(0)
        self.total_squares += means.square().sum(0)
        self.n += len(means)

    def compute(self) -> MeanMoments:
        mean = self.total / self.n
        return MeanMoments(mean, (self.total_squares / self.n - mean.square()).clamp_min(0))


class PerImageMetric(Metric):
    """Keeps a row of numbers per image; ``compute`` returns them in the order of the split."""

    full_state_update = False
    indices: list[Tensor]
    values: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("indices", [], dist_reduce_fx="cat")
        self.add_state("values", [], dist_reduce_fx="cat")

    def update(self, indices: Int[Tensor, " batch"], values: Float[Tensor, "batch columns"]) -> None:
        self.indices.append(indices)
        self.values.append(values)

    def compute(self) -> Float[Tensor, "images columns"]:
        order = dim_zero_cat(self.indices).argsort()
        rows: Tensor = dim_zero_cat(self.values)[order]
        return rows.reshape(len(order), -1)


class ResidualRows(Metric):
    """Keeps the residuals of some images, evenly spread over the split, and sums the curvatures of all."""

    full_state_update = False
    one: list[Tensor]
    other: list[Tensor]
    curvatures: list[Tensor]
    rows: list[Tensor]
    blocks: Tensor
    n: Tensor

    def __init__(self, n_pixels: int, values_per_pixel: int, n_images: int) -> None:
        super().__init__()
        self.v = values_per_pixel
        for name in ("one", "other", "curvatures", "rows"):
            self.add_state(name, [], dist_reduce_fx="cat")
        blocks = torch.zeros(values_per_pixel, values_per_pixel, n_pixels, dtype=torch.float64)
        self.add_state("blocks", blocks, dist_reduce_fx="sum")
        self.add_state("n", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.kept = kept_images(n_pixels * values_per_pixel, n_images)

    def update(
        self, rows: Int[Tensor, " batch"], scores: Float[Tensor, "..."], curvatures: Float[Tensor, "..."]
    ) -> None:
        """Add images by the likelihood's scores and curvatures for at least two samples of their codes."""
        found = residuals_of_batch(rows, scores, curvatures, self.v, self.kept)
        self.one.append(found.one)
        self.other.append(found.other)
        if found.curvature is not None:
            self.curvatures.append(found.curvature)
        self.rows.append(found.images)
        self.blocks += found.blocks
        self.n += len(rows)

    def compute(self) -> Residuals:
        rows = dim_zero_cat(self.rows)
        order = rows.argsort()
        one, other = (dim_zero_cat(state)[order] for state in (self.one, self.other))
        curvature = dim_zero_cat(self.curvatures)[order] if self.v == 1 else None
        return Residuals(one, other, curvature, self.blocks / self.n, rows[order])
