"""Rate, distortion and the ELBO over a whole split, in nats per image (Alemi et al. 2018)."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric


class RateDistortion(NamedTuple):
    """Means over images. ``elbo`` is always the unweighted bound."""

    distortion: Float[Tensor, ""]
    kl_per_unit: Float[Tensor, " latent"]

    @property
    def kl(self) -> Float[Tensor, ""]:
        return self.kl_per_unit.sum()

    @property
    def elbo(self) -> Float[Tensor, ""]:
        return -(self.distortion + self.kl)


class RateDistortionMetric(Metric):
    """Averages the terms of a bound over images: every image counts once, whatever the batches and ranks."""

    full_state_update = False
    distortion: Tensor
    kl_per_unit: Tensor
    n: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.add_state("distortion", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("kl_per_unit", torch.zeros(latent_dim, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("n", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, distortion: Float[Tensor, " batch"], kl_per_unit: Float[Tensor, "batch latent"]) -> None:
        self.distortion += distortion.double().sum()
        self.kl_per_unit += kl_per_unit.double().sum(0)
        self.n += len(distortion)

    def compute(self) -> RateDistortion:
        return RateDistortion(self.distortion / self.n, self.kl_per_unit / self.n)
