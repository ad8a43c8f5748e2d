"""What a pass over the test images gathered: whatever a diagnostic needs is asked of it, and computed once."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

from vae_lightning.combinations import has_weighted_kl
from vae_lightning.data import ImageDataModule
from vae_lightning.diagnostics import (
    MutualInformation,
    ResidualSpectrum,
    Sensitivity,
    Verdict,
    mutual_information,
    verdict,
)
from vae_lightning.diagnostics.active_units import THRESHOLD
from vae_lightning.distributions import Posterior
from vae_lightning.evaluation.probes import measured_sensitivity
from vae_lightning.module import VAE
from vae_lightning.plots import inverse_normal_grid
from vae_lightning.randomness import Stream, generator_for
from vae_lightning.theory import Forecast

N_SAMPLES = 100
"""Images of codes from the prior that are counted and drawn."""


class Effort(NamedTuple):
    """How much is computed."""

    importance_samples: int
    """K of log p(x), for each image."""
    residual_samples: int
    """Codes per image from which the reconstruction of the residual test is estimated; at least 2."""
    thorough: bool
    """Also what compares every image with every other, and the linear probes."""


@dataclass(frozen=True)
class Evaluated:
    """A trained model and what it answers to the test images, in nats per image. Metrics are functions of it.

    A metric must not change the model, and must not draw from torch's global generator.
    """

    model: VAE
    data: ImageDataModule
    effort: Effort
    kl_weight: float
    """In force at the end of the training."""
    price: float
    """What the loss charges for a nat of KL."""
    why_no_verdict: str | None
    data_forecast: Forecast | None
    """What the spectrum of the training images lets live in a plain VAE."""
    labels: Int[Tensor, " images"]
    distortion: Float[Tensor, " images"]
    kl_per_unit: Float[Tensor, "images latent"]
    posterior: Posterior
    """Of all test images at once."""
    noise: Float[Tensor, "1 images latent"]
    log_px: dict[int, Tensor]
    """The bound on log p(x) of each image, by the number of codes; empty where the posterior has no density."""
    residual: ResidualSpectrum | None

    @property
    def has_density(self) -> bool:
        """Whether q(z|x) has a density, and so a KL and a bound."""
        return self.model.posterior.has_density

    @property
    def forecast(self) -> Forecast | None:
        """The forecast, where the KL weight multiplies anything."""
        model = self.model
        return self.data_forecast if has_weighted_kl(model.objective, model.posterior) else None

    @property
    def means(self) -> Float[Tensor, "images latent"]:
        """Posterior means."""
        return self.posterior.mean

    @cached_property
    def codes(self) -> Float[Tensor, "images latent"]:
        """One draw from the posterior of each image."""
        return self.posterior.sample(self.noise)[0]

    @cached_property
    def sensitivity(self) -> Sensitivity:
        """What the decoder reads of each unit."""
        variance = self.residual.pixel_variance if self.residual else None
        return measured_sensitivity(self.model, self.data, variance)

    @cached_property
    def living(self) -> tuple[bool, ...] | None:
        """Whether each unit is written by the encoder and read by the decoder, each by the same measure.

        In the linear optimum l / a - 1 is what is read, gain^2 / (w sigma^2), and 1 - a / l what is written: near the
        threshold both are the same, and both are held against Burda's 0.01.
        """
        if self.why_no_verdict or self.residual is None:
            return None
        written = self.means.double().var(0, correction=0) > THRESHOLD
        read = self.sensitivity.paid_per_unit > THRESHOLD * self.price
        return tuple((written & read).tolist())

    @cached_property
    def verdict(self) -> Verdict | None:
        """Whether the death of units was pruning or harm."""
        if self.living is None or self.residual is None:
            return None
        return verdict(sum(self.living), self.model.latent_dim, self.residual, self.price)

    @cached_property
    def information(self) -> MutualInformation | None:
        """Bounds on what the codes tell about their images; they compare every image with every other."""
        return mutual_information(self.posterior, self.noise) if self.has_density else None

    @cached_property
    def prior_images(self) -> Float[Tensor, "samples channels height width"]:
        """Decoder means of codes drawn from the prior."""
        model = self.model
        generator = generator_for(model.seed, Stream.PRIOR_SAMPLES, device=model.device)
        return model.decode(model.prior.sample((N_SAMPLES, model.latent_dim), generator)).cpu()

    @cached_property
    def manifold_images(self) -> Float[Tensor, "codes channels height width"] | None:
        """Decoder means on a grid of equal prior mass; None unless there are two units."""
        model = self.model
        return model.decode(inverse_normal_grid().to(model.device)).cpu() if model.latent_dim == 2 else None
