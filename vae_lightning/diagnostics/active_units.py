"""Which units tell of the image: active ones (Burda et al. 2015, section 5.2), and those that have not collapsed.

(epsilon, delta)-collapse (Lucas et al. 2019, definition 1): unit i has collapsed iff P_x[KL_i < epsilon] >= 1 - delta.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

THRESHOLD = 0.01
"""A unit is active when the variance over images of its posterior mean exceeds this (Burda's value)."""
DELTA = 0.01
"""The share of images that may be an exception to a collapse."""
Variances = Float[Tensor, " latent"]


def active_units(variances: Variances, threshold: float = THRESHOLD) -> int:
    """Count the units whose variance of posterior means exceeds ``threshold``."""
    return int((variances > threshold).sum())


def active_directions(means: Float[Tensor, "images latent"], threshold: float = THRESHOLD) -> int:
    """Count the directions of the code in which the posterior means vary by more than ``threshold``.

    They are the eigenvalues of the covariance of the means, dividing by the number of images. Units that share a
    direction, as they may for long near a threshold, are one direction and several active units.
    """
    covariance = means.double().T.cov(correction=0).reshape(means.shape[1], -1)
    return active_units(torch.linalg.eigvalsh(covariance), threshold)


class MeanMoments(NamedTuple):
    """How the posterior means lie over a set of images: where the codes are, and which units move with the image."""

    mean: Float[Tensor, " latent"]
    variance: Float[Tensor, " latent"]
    """Population variance, dividing by the number of images."""


def collapse_epsilon(kl_per_unit: Float[Tensor, "images latent"], delta: float = DELTA) -> Float[Tensor, " latent"]:
    """Return the KL in nats above which each unit counts as collapsed: it has collapsed at every larger epsilon.

    It is the ceil((1 - delta) n)-th smallest of the unit's n KLs, so that the curve over epsilon is known exactly.
    """
    n_images = len(kl_per_unit)
    rank = max(1, math.ceil((1 - delta) * n_images - 1e-9))  # 1e-9: (1 - 0.01) * 100 is 99, not a hair above
    return kl_per_unit.sort(dim=0).values[rank - 1]


def share_collapsed(
    kl_per_unit: Float[Tensor, "images latent"], epsilons: Float[Tensor, " thresholds"], delta: float = DELTA
) -> Float[Tensor, " thresholds"]:
    """Return the share of units that have collapsed at each epsilon: the curve to look at."""
    least = collapse_epsilon(kl_per_unit, delta)
    return (least.unsqueeze(1) < epsilons).to(torch.float64).mean(0)
