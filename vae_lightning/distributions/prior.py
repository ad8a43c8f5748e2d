"""The prior N(0, I)."""

import math

from jaxtyping import Float
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)


def log_prior_per_unit(codes: Float[Tensor, "*shape latent"]) -> Float[Tensor, "*shape latent"]:
    """Return log N(z_i; 0, 1) in nats."""
    return -0.5 * (codes.square() + LOG_2PI)
