"""What is kept of a whole split, over batches and ranks: rate and distortion (Alemi et al. 2018), rows per image."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class Sums(Metric):
    """Sums over images, exact over batches and ranks: in double precision, so that a large mean drowns no variance."""

    full_state_update = False

    def __init__(self, **shapes: tuple[int, ...]) -> None:
        super().__init__()
        for name, shape in shapes.items():
            self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")


class RateDistortion(NamedTuple):
    """Means over images, in nats. ``elbo`` is always the unweighted bound."""

    distortion: Float[Tensor, ""]
    kl_per_unit: Float[Tensor, " latent"]

    @property
    def kl(self) -> Float[Tensor, ""]:
        return self.kl_per_unit.sum()

    @property
    def elbo(self) -> Float[Tensor, ""]:
        return -(self.distortion + self.kl)


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
