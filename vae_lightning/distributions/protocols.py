"""What the rest of the code asks of a posterior and of a likelihood. Add one by writing a class that has these."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Posterior(Protocol):
    """q(z|x) of a batch of images."""

    @property
    def mean(self) -> Float[Tensor, "batch latent"]: ...

    def sample(self, noise: Float[Tensor, "samples batch latent"]) -> Float[Tensor, "samples batch latent"]: ...

    def kl_per_unit(self) -> Float[Tensor, "batch latent"]: ...

    def log_prob(self, codes: Float[Tensor, "*samples batch latent"]) -> Float[Tensor, "*samples batch"]: ...


@runtime_checkable
class PosteriorFamily(Protocol):
    """How to read the encoder's outputs as a posterior."""

    def n_parameters(self, latent_dim: int) -> int: ...

    def __call__(self, parameters: Float[Tensor, "batch outputs"]) -> Posterior: ...


@runtime_checkable
class Likelihood(Protocol):
    """How to read the decoder's values as p(x|z)."""

    @property
    def variance(self) -> float | None:
        """sigma^2 where the likelihood has one number for it, else None."""

    def mean(
        self, values: Float[Tensor, "*batch channels height width"]
    ) -> Float[Tensor, "*batch channels height width"]: ...

    def log_prob(
        self,
        pixels: Float[Tensor, "batch channels height width"],
        values: Float[Tensor, "*samples batch channels height width"],
    ) -> Float[Tensor, "*samples batch"]: ...
