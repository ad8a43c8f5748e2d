"""What every objective returns: the loss to minimise, and beside it the honest, unweighted terms per image."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor


class Bound(NamedTuple):
    """Terms of one batch, in nats. ``loss`` alone knows the KL weight."""

    loss: Float[Tensor, ""]
    distortion: Float[Tensor, " batch"]
    """-E_q log p(x|z)."""
    kl_per_unit: Float[Tensor, "batch latent"]
    """KL(q(z_i|x) || p(z_i))."""
