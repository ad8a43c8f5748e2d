"""The pass over the test images: a LightningModule around the model, so that Lightning brings device, ranks and
progress.

What is found is a function of the model, the seed and the images: neither the evaluation batch size nor the number of
ranks is in it.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from lightning.pytorch import LightningModule
from torch import Tensor

from vae_lightning.combinations import kl_coefficient, why_no_price
from vae_lightning.data import Batch, ImageDataModule
from vae_lightning.diagnostics import (
    PerImageMetric,
    ResidualMoments,
    ResidualSpectrum,
    Sensitivity,
    log_px,
    mutual_information,
    verdict,
)
from vae_lightning.diagnostics.active_units import THRESHOLD
from vae_lightning.diagnostics.residual import MOST_PIXELS
from vae_lightning.evaluation.findings import Findings
from vae_lightning.evaluation.probes import (
    evenness_between_images,
    measured_sensitivity,
    probes,
    share_near_the_data,
)
from vae_lightning.module import VAE
from vae_lightning.objectives import elbo_terms
from vae_lightning.randomness import Stream, generator_for

SAMPLES_AT_ONCE = 10
IMAGES_AT_ONCE = 100
"""Importance samples are drawn and decoded in blocks of so many codes for so many images: memory does not know K."""
ALSO_REPORTED = (1, 50)


class Effort(NamedTuple):
    """How much is computed."""

    importance_samples: int
    """K of log p(x), for each image."""
    residual_samples: int
    """Codes per image from which the reconstruction of the residual test is estimated; at least 2."""
    thorough: bool
    """Also what compares every image with every other, and the linear probes."""


AFTER_TRAINING = Effort(importance_samples=10, residual_samples=2, thorough=False)


def mean_and_error(values: Float[Tensor, " n"]) -> tuple[float, float]:
    """Return the mean and its standard error."""
    return float(values.mean()), float(values.std(correction=0) / len(values) ** 0.5)


def _why_no_residual(model: VAE, n_pixels: int) -> str | None:
    if model.likelihood.why_no_score:
        return "the residual test is not known for this likelihood"
    return f"{n_pixels} pixels are more than the residual test takes" if n_pixels > MOST_PIXELS else None


class Evaluator(LightningModule):
    """Run it by ``trainer.test``; the findings are then in ``findings``.

    Args:
        model: a trained VAE.
        data: what it was trained on.
        kl_weight: in force at the end.
        effort: how much is computed.
    """

    def __init__(self, model: VAE, data: ImageDataModule, kl_weight: float, effort: Effort) -> None:
        super().__init__()
        self.model = model
        self.data = data
        self.effort = effort
        self.rows = PerImageMetric()
        n_pixels = math.prod(data.image_shape)
        unfit = _why_no_residual(model, n_pixels)
        self.residual = None if unfit else ResidualMoments(n_pixels)
        self.why_no_verdict = why_no_price(model.objective, model.posterior, kl_weight) or unfit
        self.price = kl_coefficient(model.objective, kl_weight)
        self.has_density = model.posterior.has_density
        most = effort.importance_samples
        self.reported = [*(k for k in ALSO_REPORTED if k < most), most]
        self.findings: Findings | None = None

    def on_test_epoch_start(self) -> None:
        n_images = len(self.data.splits["test"].pixels)
        model = self.model

        def noise(stream: Stream, n_samples: int) -> Float[Tensor, "samples n latent"]:
            generator = generator_for(model.seed, stream, device=self.device)
            return model.posterior.noise((n_samples, n_images, model.latent_dim), generator)

        self._elbo_noise = noise(Stream.EVALUATION_NOISE, model.objective.n_samples)
        self._residual_noise = noise(Stream.RESIDUAL_NOISE, self.effort.residual_samples)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        model = self.model
        parameters = model.encoder(batch.pixels)
        posterior = model.posterior(parameters)
        noise = self._elbo_noise[:, batch.rows]
        terms = elbo_terms(batch.pixels, posterior, model.prior, model.decoder, model.likelihood, noise)
        columns = [terms.distortion.unsqueeze(1), batch.labels.unsqueeze(1), terms.kl_per_unit, parameters]
        if self.has_density:
            columns.append(self._log_px(batch).T)
        self.rows.update(batch.rows, torch.cat([column.double() for column in columns], dim=1))
        if self.residual is not None:
            found = [
                model.likelihood.score_and_curvature(batch.pixels, model.decoder(codes))
                for codes in posterior.sample(self._residual_noise[:, batch.rows])
            ]
            self.residual.update(batch.rows, *(torch.stack(of_samples) for of_samples in zip(*found, strict=True)))

    def _log_px(self, batch: Batch) -> Float[Tensor, "reported batch"]:
        """Go through the batch by groups of images whose bounds lie at multiples of a fixed size in the split."""
        model = self.model
        groups = batch.rows // IMAGES_AT_ONCE
        found = []
        for group in groups.unique_consecutive().tolist():
            mine = groups == group
            pixels = batch.pixels[mine]
            blocks = self._importance_noise(group, batch.rows[mine] % IMAGES_AT_ONCE)
            args = (pixels, model.encode(pixels), model.prior, model.decoder, model.likelihood)
            found.append(log_px(*args, blocks, self.reported))
        return torch.cat(found, dim=1)

    def _importance_noise(self, group: int, members: Int[Tensor, " batch"]) -> Iterator[Float[Tensor, "s b latent"]]:
        """Draw for whole groups and whole blocks, so that an image's samples depend on nothing but its row and K."""
        for block in range(math.ceil(self.effort.importance_samples / SAMPLES_AT_ONCE)):
            left = self.effort.importance_samples - block * SAMPLES_AT_ONCE
            generator = generator_for(self.model.seed, Stream.IMPORTANCE_NOISE, group, block, device=self.device)
            shape = (SAMPLES_AT_ONCE, IMAGES_AT_ONCE, self.model.latent_dim)
            yield self.model.posterior.noise(shape, generator)[:left, members]

    @torch.no_grad()
    def on_test_epoch_end(self) -> None:
        model, latent_dim = self.model, self.model.latent_dim
        rows = self.rows.compute()
        residual = self._residual_spectrum()
        widths = [1, 1, latent_dim, model.posterior.n_parameters]
        distortion, labels, kl_per_unit, parameters, log_px_rows = rows.split([*widths, rows.shape[1] - sum(widths)], 1)
        posterior = model.posterior(parameters.float())
        noise = self._elbo_noise[:1, : len(rows)]
        means = posterior.mean
        variance = residual.pixel_variance if residual else None
        sensitivity = measured_sensitivity(model, self.data, variance)
        judged = residual if not self.why_no_verdict else None
        living = self._living(means, sensitivity) if judged else None
        thorough = self.effort.thorough
        self.findings = Findings(
            distortion=float(distortion.mean()),
            kl_per_unit=kl_per_unit,
            means=means,
            codes=posterior.sample(noise)[0],
            log_px={k: mean_and_error(of_k) for k, of_k in zip(self.reported, log_px_rows.T, strict=False)},
            information=mutual_information(posterior, noise) if thorough and self.has_density else None,
            sensitivity=sensitivity,
            residual=residual,
            continuity=evenness_between_images(model, means),
            completeness=share_near_the_data(model, self.data),
            probe=probes(model, self.data, means, labels.flatten().long()) if thorough else None,
            living=living,
            verdict=verdict(sum(living), latent_dim, judged, self.price) if judged and living else None,
            why_no_verdict=self.why_no_verdict,
        )
        self.rows.reset()
        if self.residual is not None:
            self.residual.reset()

    def _residual_spectrum(self) -> ResidualSpectrum | None:
        if self.residual is None:
            return None
        found: ResidualSpectrum = self.residual.compute()
        # Torchmetrics squeezes what one pixel has into a scalar.
        return found._replace(
            eigenvalues=found.eigenvalues.reshape(-1), pixel_variance=found.pixel_variance.reshape(-1)
        )

    def _living(self, means: Float[Tensor, "images latent"], sensitivity: Sensitivity) -> tuple[bool, ...]:
        """A unit lives when the encoder writes it and the decoder reads it, each by the same measure.

        In the linear optimum l / a - 1 is what is read, gain^2 / (w sigma^2), and 1 - a / l what is written: near the
        threshold both are the same, and both are held against Burda's 0.01.
        """
        written = means.double().var(0, correction=0) > THRESHOLD
        read = sensitivity.paid_per_unit > THRESHOLD * self.price
        return tuple((written & read).tolist())
