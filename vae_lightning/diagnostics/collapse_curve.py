"""(epsilon, delta)-collapse (Lucas et al. 2019, definition 1): unit i has collapsed iff P_x[KL_i < epsilon] >= 1 -
delta."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

DELTA = 0.01
"""The share of images that may be an exception."""


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
