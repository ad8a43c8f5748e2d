"""What the rest of the code asks of a posterior and of a likelihood. Add one by writing a class that has these."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Posterior(Protocol):
    """q(z|x) of a batch of images, against the prior N(0, I)."""

    @property
    def mean(self) -> Float[Tensor, "batch latent"]: ...

    def sample(self, noise: Float[Tensor, "samples batch latent"]) -> Float[Tensor, "samples batch latent"]:
        """Turn the family's noise into codes, differentiably (Kingma & Welling 2013, section 2.4)."""

    def kl_per_unit(self) -> Float[Tensor, "batch latent"] | None:
        """Return KL(q(z_i|x) || N(0, 1)) in nats in closed form; None where there is none."""

    def log_prob_per_unit(self, codes: Float[Tensor, "*codes latent"]) -> Float[Tensor, "*broadcast latent"]:
        """Return terms, one per unit, that sum to log q(z|x) in nats. Codes broadcast against the batch."""

    def detached(self) -> "Posterior":
        """Return the same distribution with its parameters cut from the graph."""


@runtime_checkable
class PosteriorFamily(Protocol):
    """How to read the encoder's outputs as a posterior. It is built with the number of latent units."""

    @property
    def has_density(self) -> bool:
        """Whether q(z|x) has a density, and so a KL and a bound on log p(x)."""

    @property
    def n_parameters(self) -> int:
        """How many numbers the encoder must give per image."""

    def noise(self, shape: tuple[int, ...], generator: torch.Generator) -> Float[Tensor, "..."]:
        """Draw what :meth:`Posterior.sample` takes, on the generator's device."""

    def __call__(self, parameters: Float[Tensor, "batch outputs"]) -> Posterior: ...


@runtime_checkable
class Likelihood(Protocol):
    """How to read the decoder's values as p(x|z)."""

    @property
    def variance(self) -> float | None:
        """sigma^2 where the likelihood has one number for it, as it is now; else None."""

    @property
    def values_per_pixel(self) -> int:
        """How many numbers the decoder must give per pixel; they come as groups of channels."""

    @property
    def needs_unit_interval(self) -> bool:
        """Whether pixels must lie in [0, 1]."""

    @property
    def is_binary(self) -> bool:
        """Whether it is a distribution over pixels that are 0 or 1: its means are then grey where its draws are not."""

    def mean(
        self, values: Float[Tensor, "*batch values height width"]
    ) -> Float[Tensor, "*batch channels height width"]:
        """Return E[x|z]."""

    def sample(
        self, values: Float[Tensor, "*batch values height width"], generator: torch.Generator
    ) -> Float[Tensor, "*batch channels height width"]:
        """Draw x given z."""

    def log_prob(
        self,
        pixels: Float[Tensor, "batch channels height width"],
        values: Float[Tensor, "*samples batch values height width"],
    ) -> Float[Tensor, "*samples batch"]:
        """Return log p(x|z), summed over pixels, in nats."""


@runtime_checkable
class ExponentialFamily(Likelihood, Protocol):
    """A likelihood log p(x|z) = eta'x - A(eta) + const with one natural parameter per pixel, which the decoder moves.

    A'' is then the variance of a pixel, in squared units of a pixel; the collapse forecast and the residual test need
    it.
    """

    def pixel_variance(
        self, values: Float[Tensor, "*batch values height width"]
    ) -> Float[Tensor, "*batch channels height width"]:
        """Return A''(eta), the variance of x given z, at the decoder's values."""

    def collapsed_variance(self, mean: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return A'' per pixel for a decoder that ignores its code and answers ``mean``."""
