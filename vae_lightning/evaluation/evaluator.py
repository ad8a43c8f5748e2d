"""The pass over the test images: a LightningModule around the model, so that Lightning brings device, ranks and
progress.

What is found is a function of the model, the seed and the images: neither the evaluation batch size nor the number of
ranks is in it.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from lightning.pytorch import LightningModule
from torch import Tensor

from vae_lightning.combinations import kl_coefficient, why_no_price
from vae_lightning.data import Batch, ImageDataModule
from vae_lightning.diagnostics import (
    PerImageMetric,
    ResidualRows,
    Residuals,
    ResidualSpectrum,
    log_px,
    residual_spectrum,
)
from vae_lightning.distributions import Posterior
from vae_lightning.errors import UserError
from vae_lightning.estimates import Mean
from vae_lightning.evaluation.evaluated import Effort, Evaluated
from vae_lightning.evaluation.measure import Metric, measured
from vae_lightning.evaluation.metrics import OWN
from vae_lightning.module import VAE
from vae_lightning.objectives import elbo_terms
from vae_lightning.randomness import Stream, generator_for
from vae_lightning.theory import Forecast, NoForecast

SAMPLES_AT_ONCE = 10
IMAGES_AT_ONCE = 100
"""Importance samples are drawn and decoded in blocks of so many codes for so many images: memory does not know K."""
ALSO_REPORTED = (1, 50)
FAILED = "the residual test failed"
RESIDUAL_SAMPLES = {False: 2, True: 8}
"""Codes per image of the residual test, by whether the evaluation is thorough."""


class Evaluator(LightningModule):
    """Run it by ``trainer.test``; what was gathered is then in ``evaluated``, what was measured in ``results``.

    Args:
        model: a trained VAE.
        data: what it was trained on.
        kl_weight: in force at the end.
        effort: how much is computed.
        forecast: what the spectrum of the training images lets live.
        metrics: diagnostics from outside this package.
        falling: what as much training again would bring, by the curves.
    """

    def __init__(
        self,
        model: VAE,
        data: ImageDataModule,
        kl_weight: float,
        effort: Effort,
        forecast: Forecast | NoForecast | None = None,
        metrics: Sequence[Metric] = (),
        falling: Mean | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.data = data
        self.kl_weight = kl_weight
        self.effort = effort
        self.forecast_of_data = forecast if isinstance(forecast, Forecast) else None
        self.own_metrics = metrics
        self.falling = falling
        self.rows = PerImageMetric()
        unfit = model.likelihood.why_no_score
        self.residual: ResidualRows | None = None
        self.why_no_residual = unfit
        self.why_no_verdict = why_no_price(model.objective, model.posterior, kl_weight) or unfit
        most = effort.importance_samples
        self.reported = [*(k for k in ALSO_REPORTED if k < most), most]
        self.evaluated: Evaluated | None = None
        self.results: dict[str, Any] = {}
        """Plain values under the keys of ``results.json``."""

    def on_test_epoch_start(self) -> None:
        n_images = len(self.data.splits["test"].pixels)
        model = self.model

        def noise(stream: Stream, n_samples: int) -> Float[Tensor, "samples n latent"]:
            generator = generator_for(model.seed, stream, device=self.device)
            return model.posterior.noise((n_samples, n_images, model.latent_dim), generator)

        self._elbo_noise = noise(Stream.EVALUATION_NOISE, model.objective.n_samples)
        self._residual_noise = noise(Stream.RESIDUAL_NOISE, self.effort.residual_samples)
        if self.why_no_residual is None:
            n_values = model.likelihood.values_per_pixel
            self.residual = ResidualRows(math.prod(self.data.image_shape), n_values, n_images).to(self.device)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        model = self.model
        parameters = model.parameters_of(batch.pixels)
        posterior = model.posterior(parameters)
        noise = self._elbo_noise[:, batch.rows]
        terms = elbo_terms(batch.pixels, posterior, model.prior, model.decoder, model.likelihood, noise)
        columns = [terms.distortion.unsqueeze(1), batch.labels.unsqueeze(1), terms.kl_per_unit, parameters]
        if model.posterior.has_density:
            columns.append(self._log_px(batch).T)
        self.rows.update(batch.rows, torch.cat([column.double() for column in columns], dim=1))
        if self.residual is not None:
            self._add_residuals(batch, posterior, self.residual)

    def _add_residuals(self, batch: Batch, posterior: Posterior, residual: ResidualRows) -> None:
        model = self.model
        try:
            found = [
                model.likelihood.score_and_curvature(batch.pixels, model.decoder(codes))
                for codes in posterior.sample(self._residual_noise[:, batch.rows])
            ]
        except UserError as error:
            self.residual, self.why_no_residual = None, str(error)
            return
        residual.update(batch.rows, *(torch.stack(of_samples) for of_samples in zip(*found, strict=True)))

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
        rows = self.rows.compute()
        residuals, residual, caveats = self._residual_spectrum()
        self.evaluated = self._gathered(rows, residuals, residual)
        self.results, more = measured((*OWN, *self.own_metrics), self.evaluated)
        above = self.evaluated.above_the_ceiling
        self.results["caveats"] = caveats + more + ([above] if above else [])
        if shown := [column for metric in self.own_metrics for column in metric.columns]:
            self.results["columns"] = shown
        self.rows.reset()
        if self.residual is not None:
            self.residual.reset()

    def _gathered(
        self, rows: Float[Tensor, "images columns"], residuals: Residuals | None, residual: ResidualSpectrum | None
    ) -> Evaluated:
        model = self.model
        widths = [1, 1, model.latent_dim, model.posterior.n_parameters]
        distortion, labels, kl_per_unit, parameters, log_px_rows = rows.split([*widths, rows.shape[1] - sum(widths)], 1)
        return Evaluated(
            model=model,
            data=self.data,
            effort=self.effort,
            kl_weight=self.kl_weight,
            price=kl_coefficient(model.objective, self.kl_weight),
            why_no_verdict=self.why_no_verdict or (None if residual else self.why_no_residual or FAILED),
            falling=self.falling,
            residuals=residuals,
            data_forecast=self.forecast_of_data,
            labels=labels.flatten().long(),
            distortion=distortion.flatten(),
            kl_per_unit=kl_per_unit,
            posterior=model.posterior(parameters.float()),
            noise=self._elbo_noise[:1, : len(rows)],
            log_px=dict(zip(self.reported, log_px_rows.T, strict=False)),
            residual=residual,
        )

    def _residual_spectrum(self) -> tuple[Residuals | None, ResidualSpectrum | None, list[str]]:
        """Return the residuals and their spectrum, or why there is none: what is not finite has no eigenvalues."""
        if self.residual is None:
            return None, None, []
        try:
            residuals: Residuals = self.residual.compute()
            return residuals, residual_spectrum(residuals), []
        except Exception as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            return None, None, [f"residual test: cannot be had ({reason})"]
