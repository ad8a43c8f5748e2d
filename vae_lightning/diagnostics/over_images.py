"""Rate and distortion, whose sum is minus the ELBO (Alemi et al. 2018)."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor


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
