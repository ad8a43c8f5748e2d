"""What the rest of the code asks of priors, posteriors and likelihoods. Add one by writing a class that has these."""

from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.distributions.shapes import Codes, Means, PerImage, PerPixel, Pixels, SampledValues, Values


@runtime_checkable
class Posterior(Protocol):
    """q(z|x) of a batch of images."""

    @property
    def mean(self) -> Float[Tensor, "batch latent"]: ...

    def sample(self, noise: Codes) -> Codes:
        """Turn the family's noise into codes, differentiably (Kingma & Welling 2013, section 2.4)."""

    def sample_with_log_prob(self, noise: Codes) -> tuple[Codes, Codes]:
        """Return the codes of :meth:`sample` and the terms of log q(z|x) there, computed from the noise itself.

        Computed from the codes, log q would be lost where the posterior is so narrow that its codes round to its mean.
        """

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
        """Return whether q(z|x) has a density, and so a KL and a bound on log p(x)."""

    @property
    def has_closed_form_kl(self) -> bool:
        """Return whether :meth:`Posterior.kl_per_unit` returns a tensor."""

    @property
    def least_batch_size(self) -> int:
        """Return how many images a training batch must have: 2 where statistics of the batch are used."""

    @property
    def is_gaussian(self) -> bool:
        """Whether any Gaussian of its kind can be reached: the family that closed forms and forecasts are of."""

    @property
    def n_parameters(self) -> int:
        """Return how many numbers the encoder must give per image."""

    def noise(self, shape: tuple[int, ...], generator: torch.Generator) -> Float[Tensor, "..."]:
        """Draw what :meth:`Posterior.sample` takes, on the generator's device."""

    def __call__(self, parameters: Float[Tensor, "batch outputs"]) -> Posterior: ...


@runtime_checkable
class Prior(Protocol):
    """p(z) of the codes."""

    @property
    def factorises(self) -> bool:
        """Return whether the units are independent, so that the terms of one unit are its own."""

    def log_prob_per_unit(self, codes: Float[Tensor, "*shape latent"]) -> Float[Tensor, "*shape latent"]:
        """Return terms, one per unit, that sum to log p(z) in nats."""

    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> Float[Tensor, "..."]:
        """Draw codes on the generator's device; the last dimension is the latent one."""

    def kl_per_unit(self, posterior: Posterior) -> Float[Tensor, "batch latent"] | None:
        """Return terms, one per unit, that sum to KL(q(z|x) || p(z)) in closed form; None where there is none."""

    def has_closed_form_kl(self, family: PosteriorFamily) -> bool:
        """Return whether :meth:`kl_per_unit` returns a tensor for the posteriors of a family."""

    def kernel_means(
        self, codes: Float[Tensor, "n latent"], squared_width: float
    ) -> tuple[Float[Tensor, " n"], float] | None:
        """Return the means under p(z) of a Gaussian kernel: with each code, and of two draws; None where unknown."""


@runtime_checkable
class Likelihood(Protocol):
    """How to read the decoder's values as p(x|z)."""

    @property
    def variance(self) -> float | None:
        """Return sigma^2 where the likelihood is a Gaussian with one number for it, as it is now; else None."""

    @property
    def least_variance(self) -> float | None:
        """Return the bound below which a learned sigma^2 cannot fall; None where sigma^2 is not learned."""

    @property
    def values_per_pixel(self) -> int:
        """Return how many numbers the decoder must give per pixel; they come as groups of channels."""

    @property
    def needs_unit_interval(self) -> bool:
        """Return whether pixels must lie in [0, 1]."""

    @property
    def needs_grey_pixels(self) -> bool:
        """Return whether the density has no largest value on pixels that are all 0 or 1."""

    @property
    def is_binary(self) -> bool:
        """Return whether it is one of pixels that are 0 or 1: its means are then grey where its draws are not."""

    @property
    def loss_elsewhere(self) -> Literal["squared_error", "cross_entropy"] | None:
        """Return what other code calls -log p(x|z) up to a factor and a constant; None where it has no such name."""

    @property
    def why_no_score(self) -> str | None:
        """Return why :meth:`score_and_curvature` cannot answer, in a sentence; None where it can."""

    def score_and_curvature(self, pixels: PerPixel, values: PerPixel) -> tuple[PerPixel, PerPixel]:
        """Return the gradient of log p(x|z) by one parameter per pixel, and minus its second derivative, elementwise.

        The forecast and the residual test ask nothing else. In the natural parameter of an exponential family the two
        are x - E[x|z] and Var(x|z), which is also how a change of the image is counted in nats: use that parameter
        where there is one.

        Raises:
            UserError: ``why_no_score`` says why.
        """

    def mean(self, values: Values) -> Means:
        """Return E[x|z]."""

    def sample(self, values: Values, generator: torch.Generator) -> Means:
        """Draw x given z."""

    def log_prob(self, pixels: Pixels, values: SampledValues) -> PerImage:
        """Return log p(x|z), summed over pixels, in nats."""
