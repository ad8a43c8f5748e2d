"""What a pass over the test images gathered: whatever a diagnostic needs is asked of it, and computed once."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor

from vae_lightning.combinations import ceiling_price, has_weighted_kl
from vae_lightning.data import ImageDataModule
from vae_lightning.data.loader import as_floats
from vae_lightning.diagnostics import (
    MORE_REGIONS,
    SOME_REGIONS,
    Evidence,
    MutualInformation,
    Residuals,
    ResidualSpectrum,
    Sensitivity,
    Verdict,
    evidence,
    mutual_information,
    verdict,
)
from vae_lightning.diagnostics.active_units import THRESHOLD
from vae_lightning.diagnostics.causes import SHOWN, wrong_cause
from vae_lightning.distributions import Posterior
from vae_lightning.estimates import Mean
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
    residuals: Residuals | None
    residual: ResidualSpectrum | None
    falling: Mean | None
    """What as much training again would bring, by the curves; None where they do not tell."""

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
    def kl(self) -> Mean:
        """The KL over the test images."""
        return Mean.of(self.kl_per_unit.double().sum(1))

    @property
    def kl_ceiling(self) -> Mean | None:
        """What the KL cannot exceed at an optimum of this loss on the training images; None where nothing bounds it."""
        model, found = self.model, self.data_forecast
        price = ceiling_price(model.objective, model.posterior, model.beta_schedule, self.kl_weight)
        if found is None or found.greatest_gain is None or price is None:
            return None
        least = model.latent_dim * model.posterior.least_kl_per_unit
        return Mean(found.greatest_gain.value / price + least, found.greatest_gain.error / price)

    @property
    def above_the_ceiling(self) -> str | None:
        """A sentence where the KL is above its ceiling by more than both errors; None where it is not."""
        ceiling = self.kl_ceiling
        if ceiling is None or not self.kl.surely_above(ceiling):
            return None
        told = f"KL {self.kl.value:.3g} nats is above its ceiling {ceiling.value:.3g}"
        return f"{told}: no optimum of this loss has as much, so the training is not at one yet"

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
        natural = self.model.likelihood.score_is_natural
        return measured_sensitivity(self.model, self.data, variance if natural else None)

    @cached_property
    def written(self) -> Bool[Tensor, " latent"]:
        """Whether each unit's posterior mean moves with the image (Burda's 0.01)."""
        return self.means.double().var(0, correction=0) > THRESHOLD

    @cached_property
    def read(self) -> Bool[Tensor, " latent"]:
        """Whether the decoder reads each unit, by the same measure as it is written.

        In the linear optimum l / a - 1 is what is read, gain^2 / (w sigma^2), and 1 - a / l what is written: near the
        threshold both are the same, and both are held against Burda's 0.01.
        """
        return self.sensitivity.paid_per_unit > THRESHOLD * self.price

    @cached_property
    def living(self) -> tuple[bool, ...] | None:
        """Whether each unit is written by the encoder and read by the decoder."""
        if self.why_no_verdict or self.residual is None:
            return None
        return tuple((self.written & self.read).tolist())

    @property
    def wrong_cause(self) -> str | None:
        """What has to be mended before any word about units would help, in a sentence."""
        shown = as_floats(self.data.splits["test"].pixels[:SHOWN])
        return wrong_cause(self.model.likelihood, shown, self.residuals)

    @cached_property
    def evidence(self) -> Evidence | None:
        """What the verdict is made of."""
        if self.living is None or self.residuals is None:
            return None
        images = self.residuals.images
        return evidence(
            self.residuals,
            self.means[images],
            self.codes[images],
            self.kl_per_unit.double().mean(0),
            written=self.written,
            read=self.read,
            price=self.price,
            residual=self.residual,
            n_regions=MORE_REGIONS if self.effort.thorough else SOME_REGIONS,
            falling=self.falling,
            cause=self.wrong_cause,
        )

    @cached_property
    def verdict(self) -> Verdict | None:
        """Whether the death of units was pruning or harm."""
        return None if self.evidence is None else verdict(self.evidence)

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
