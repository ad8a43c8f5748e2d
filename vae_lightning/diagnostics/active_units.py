"""Active units (Burda et al. 2015, section 5.2): latent units whose posterior mean moves with the image."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric

THRESHOLD = 0.01
"""A unit is active when the variance over images of its posterior mean exceeds this (Burda's value)."""


def active_units(variances: Float[Tensor, " latent"], threshold: float = THRESHOLD) -> int:
    """Count the units whose variance of posterior means exceeds ``threshold``."""
    return int((variances > threshold).sum())


def active_directions(means: Float[Tensor, "images latent"], threshold: float = THRESHOLD) -> int:
    """Count the directions of the code in which the posterior means vary by more than ``threshold``.

    They are the eigenvalues of the covariance of the means, dividing by the number of images. Units that share a
    direction, as they may for long near a threshold, are one direction and several active units.
    """
    return active_units(
        torch.linalg.eigvalsh(means.double().T.cov(correction=0).reshape(means.shape[1], -1)), threshold
    )


class MeanMoments(NamedTuple):
    """How the posterior means lie over a set of images: where the codes are, and which units move with the image."""

    mean: Float[Tensor, " latent"]
    variance: Float[Tensor, " latent"]
    """Population variance, dividing by the number of images."""


class PosteriorMeanMoments(Metric):
    """Mean and variance over all images seen of each unit's posterior mean; exact over batches and ranks.

    Sums are kept in double precision, so that a large mean does not drown a small variance.
    """

    full_state_update = False
    total: Tensor
    total_squares: Tensor
    n: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        zeros = torch.zeros(latent_dim, dtype=torch.float64)
        self.add_state("total", zeros, dist_reduce_fx="sum")
        self.add_state("total_squares", zeros.clone(), dist_reduce_fx="sum")
        self.add_state("n", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, means: Float[Tensor, "batch latent"]) -> None:
        means = means.double()
        self.total += means.sum(0)
        self.total_squares += means.square().sum(0)
        self.n += len(means)

    def compute(self) -> MeanMoments:
        mean = self.total / self.n
        return MeanMoments(mean, (self.total_squares / self.n - mean.square()).clamp_min(0))
