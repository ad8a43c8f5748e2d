"""The LightningModule: encoder + decoder + objective. It logs what it minimises and measures what it learned."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from vae_lightning.data import Batch, ImageDataModule
from vae_lightning.diagnostics import (
    MeanMoments,
    PosteriorMeanMoments,
    RateDistortion,
    RateDistortionMetric,
    active_units,
)
from vae_lightning.diagnostics.term_window import TermWindow, check_finite, check_finite_evaluation, mean_terms
from vae_lightning.distributions import Likelihood, Posterior, PosteriorFamily
from vae_lightning.objectives import Bound, Elbo
from vae_lightning.randomness import Stream, generator_for

OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
BetaSchedule = Callable[[int, int], float]


class Evaluation(NamedTuple):
    """What one pass over a held-out split found."""

    terms: RateDistortion
    means: MeanMoments

    def scalars(self) -> dict[str, float]:
        return {
            "elbo": float(self.terms.elbo),
            "kl": float(self.terms.kl),
            "distortion": float(self.terms.distortion),
            "active_units": active_units(self.means.variance),
        }


class VAE(LightningModule):
    """Encoder, decoder and a bound on log p(x), in nats per image.

    The KL weight in force at a step is ``kl_weight * beta_schedule(step, total_steps)``. Noise is a function of
    (seed, step), drawn for the global batch and sliced by rank, so that one device and several see the same.
    """

    def __init__(
        self,
        *,
        encoder: nn.Module,
        decoder: nn.Module,
        posterior: PosteriorFamily,
        likelihood: Likelihood,
        objective: Elbo,
        beta_schedule: BetaSchedule,
        optimizer: OptimizerFactory,
        kl_weight: float,
        latent_dim: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.posterior = posterior
        self.likelihood = likelihood
        self.objective = objective
        self.beta_schedule = beta_schedule
        self.optimizer = optimizer
        self.kl_weight = kl_weight
        self.latent_dim = latent_dim
        self.seed = seed
        self.terms = RateDistortionMetric(latent_dim)
        self.means = PosteriorMeanMoments(latent_dim)
        self.evaluation: Evaluation | None = None
        self._evaluation_noise: Float[Tensor, "samples n latent"] = torch.empty(0)
        self._window = TermWindow()

    # What the model is ------------------------------------------------------------------------------------------

    def encode(self, pixels: Float[Tensor, "batch channels height width"]) -> Posterior:
        return self.posterior(self.encoder(pixels))

    def decode(self, codes: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch channels height width"]:
        """Return the mean image of each code."""
        return self.likelihood.mean(self.decoder(codes))

    def forward(
        self, pixels: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Reconstruct: decode the posterior mean."""
        return self.decode(self.encode(pixels).mean)

    def bound(
        self,
        pixels: Float[Tensor, "batch channels height width"],
        posterior: Posterior,
        noise: Float[Tensor, "samples batch latent"],
        kl_weight: float,
    ) -> Bound:
        return self.objective(pixels, posterior, self.decoder, self.likelihood, noise, kl_weight)

    # Training ---------------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer(self.parameters())

    @property
    def data(self) -> ImageDataModule:
        """The data module that the Trainer runs with."""
        data: ImageDataModule = self.trainer.datamodule  # type: ignore[attr-defined]
        return data

    def on_fit_start(self) -> None:
        self.log_interval: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        self.total_steps = int(self.trainer.estimated_stepping_batches)

    def kl_weight_at(self, step: int) -> float:
        return self.kl_weight * self.beta_schedule(step, self.total_steps)

    def training_noise(self, step: int, n_images: int) -> Float[Tensor, "samples batch latent"]:
        world_size, rank = self.trainer.world_size, self.trainer.global_rank
        generator = generator_for(self.seed, Stream.TRAINING_NOISE, step, device=self.device)
        shape = (self.objective.n_samples, n_images * world_size, self.latent_dim)
        noise = torch.randn(shape, generator=generator, device=self.device)
        return noise[:, rank * n_images : (rank + 1) * n_images]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        step = self.global_step
        noise = self.training_noise(step, len(batch.pixels))
        bound = self.bound(batch.pixels, self.encode(batch.pixels), noise, self.kl_weight_at(step))
        self._window.add(bound)
        if (step + 1) % self.log_interval == 0:
            self._log_window(step + 1)
        return bound.loss

    def on_train_epoch_end(self) -> None:
        if len(self._window):
            self._log_window(self.global_step)

    def _log_window(self, next_step: int) -> None:
        """Log the means over the steps since the last time and over the ranks, after a check that all are finite."""
        window = self._checked_window(next_step)
        self._window.clear()
        values = {f"train/{name}": value for name, value in mean_terms(window).items()}
        values["train/kl_weight"] = self.kl_weight_at(next_step - 1)
        self.log_dict(values, sync_dist=True)  # equal on all ranks already; said so to Lightning

    def _checked_window(self, next_step: int) -> Float[Tensor, "steps columns"]:
        window: Tensor = self.trainer.strategy.reduce(self._window.stacked(), reduce_op="mean")
        check_finite(window, next_step - len(window), self.kl_weight_at)
        return window

    # Evaluation -------------------------------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        if len(self._window):  # a short epoch: name the step that went wrong before its weights are evaluated
            self._checked_window(self.global_step)
        self._draw_evaluation_noise(self.data.curve_split)

    def on_test_epoch_start(self) -> None:
        self._draw_evaluation_noise("test")

    def _draw_evaluation_noise(self, split: str) -> None:
        """Noise as a function of (seed, image): the result does not depend on batches, ranks or the epoch."""
        generator = generator_for(self.seed, Stream.EVALUATION_NOISE, device=self.device)
        shape = (self.objective.n_samples, len(self.data.splits[split].pixels), self.latent_dim)
        self._evaluation_noise = torch.randn(shape, generator=generator, device=self.device)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch)

    def on_validation_epoch_end(self) -> None:
        self.evaluation = self._finish_evaluation()
        split = self.data.curve_split
        values = {f"{split}/{name}": value for name, value in self.evaluation.scalars().items()}
        self.log_dict(values, sync_dist=True)

    def on_test_epoch_end(self) -> None:
        self.evaluation = self._finish_evaluation()

    def _evaluate(self, batch: Batch) -> None:
        posterior = self.encode(batch.pixels)
        noise = self._evaluation_noise[:, batch.rows]
        bound = self.bound(batch.pixels, posterior, noise, self.kl_weight)
        self.terms.update(bound.distortion, bound.kl_per_unit)
        self.means.update(posterior.mean)

    def _finish_evaluation(self) -> Evaluation:
        evaluation = Evaluation(self.terms.compute(), self.means.compute())
        self.terms.reset()
        self.means.reset()
        # Before the checkpoint of the epoch is written: the last step may have made weights that no loss has seen.
        check_finite_evaluation(evaluation.scalars(), self.global_step)
        return evaluation
