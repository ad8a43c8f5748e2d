"""The LightningModule: encoder + decoder + objective. It logs what it minimises and measures what it learned."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from vae_lightning.data import BATCHES_AT_ONCE, Batch, ImageDataModule
from vae_lightning.diagnostics import (
    MeanMoments,
    PosteriorMeanMoments,
    RateDistortion,
    RateDistortionMetric,
    active_units,
    mutual_information,
    step_buffer,
)
from vae_lightning.distributions import Likelihood, Posterior, PosteriorFamily, Prior
from vae_lightning.distributions.shapes import Codes, KlWeight, Pixels
from vae_lightning.networks.layers import joined
from vae_lightning.objectives import Bound, Objective, elbo_terms
from vae_lightning.optimizers import OptimizerFactory, ParameterGroups, hooks_of, optimizer_of
from vae_lightning.randomness import Stream, generator_for, seed_for
from vae_lightning.ranks import mean_over_ranks
from vae_lightning.schedules import Controller, Schedule, constant, has_feedback
from vae_lightning.steps import StepwiseModule
from vae_lightning.training_step import TrainingStep

N_INFORMATION_IMAGES = 2000
"""Images by which aggressive inference judges itself."""
UNWRITTEN = "unwritten"
"""The key of a checkpoint under which lies what is not in the curves yet."""


class Evaluation(NamedTuple):
    """What one pass over a held-out split found."""

    terms: RateDistortion
    means: MeanMoments

    def scalars(self) -> dict[str, float]:
        terms = {name: float(getattr(self.terms, name)) for name in ("elbo", "kl", "distortion")}
        return terms | {"active_units": active_units(self.means.variance)}


class VAE(StepwiseModule):
    """Encoder, decoder and a bound on log p(x), in nats per image.

    The KL weight in force at a step is ``kl_weight * beta_schedule(at)``. Noise is a function of (seed, step),
    drawn for the global batch and sliced by rank, so that one device and several see the same.
    """

    def __init__(
        self,
        *,
        encoder: nn.Module,
        decoder: nn.Module,
        posterior: PosteriorFamily,
        prior: Prior,
        likelihood: Likelihood,
        objective: Objective,
        beta_schedule: Schedule | Controller,
        optimizer: OptimizerFactory,
        lr_schedule: Schedule,
        kl_weight: float,
        latent_dim: int,
        seed: int,
        gradient_clip_val: float | None = None,
    ) -> None:
        super().__init__(gradient_clip_val=gradient_clip_val)
        self.encoder = encoder
        self.decoder = decoder
        self.posterior = posterior
        self.prior = prior
        self.likelihood = likelihood
        self.objective = objective
        self.beta_schedule = beta_schedule
        self.optimizer = optimizer
        self.lr_schedule = lr_schedule
        self.kl_weight = kl_weight
        self.latent_dim = latent_dim
        self.seed = seed
        self.terms = RateDistortionMetric(latent_dim)
        self.means = PosteriorMeanMoments(latent_dim)
        self.evaluation: Evaluation | None = None
        self.latest: dict[str, float] = {}
        """What was written into the curves last, by name."""
        self._window = step_buffer.StepBuffer()
        # Dropout and the like draw from torch's global generator, which then has to be a function of the step.
        self._networks_draw = any(getattr(network, "draws", True) for network in (encoder, decoder))

    # What the model is ------------------------------------------------------------------------------------------

    def parameters_of(self, pixels: Pixels, encoder: nn.Module | None = None) -> Float[Tensor, "batch outputs"]:
        """Return the encoder's outputs, or those of another one in its place."""
        return joined((encoder or self.encoder)(self.likelihood.seen_by_encoder(pixels)))

    def encode(self, pixels: Pixels) -> Posterior:
        return self.posterior(self.parameters_of(pixels))

    def decode(self, codes: Float[Tensor, "batch latent"]) -> Pixels:
        """Return the mean image of each code."""
        return self.likelihood.mean(self.decoder(codes))

    def forward(self, pixels: Pixels) -> Pixels:
        """Reconstruct: decode the posterior mean."""
        return self.decode(self.encode(pixels).mean)

    def bound(self, pixels: Pixels, noise: Codes, kl_weight_in_force: KlWeight, at: TrainingStep) -> Bound:
        """Return the objective of a batch: its loss, and the unweighted terms."""
        parts = (self.encode(pixels), self.prior, self.decoder, self.likelihood)
        return self.objective(pixels, *parts, noise, kl_weight_in_force, at)

    def parameter_groups(self) -> ParameterGroups:
        """Return the encoder's parameters and the decoder's, each with those of its distribution."""
        sides = ((self.encoder, self.posterior), (self.decoder, self.likelihood))
        modules = ([part for part in side if isinstance(part, nn.Module)] for side in sides)
        return [{"params": [weight for part in side for weight in part.parameters()]} for side in modules]

    # Training ---------------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> Optimizer | tuple[list[Optimizer], list[LRScheduler]]:
        optimizer = optimizer_of(self.optimizer, self.parameter_groups())
        # Not Trainer.estimated_stepping_batches: it makes Lightning set up the training batches before it restores a
        # checkpoint, and then forget where in the epoch the checkpoint was.
        n_batches, limit = self.data.steps_per_epoch, self.trainer.limit_train_batches
        n_batches = min(n_batches, limit * BATCHES_AT_ONCE) if isinstance(limit, int) else n_batches
        self._length = (n_batches * int(self.trainer.max_epochs or 1), n_batches)
        self.lr_scheduler = None
        if getattr(self.lr_schedule, "func", self.lr_schedule) is constant:  # spare every step what it would cost
            return optimizer
        self.lr_scheduler = LambdaLR(optimizer, lambda step: self.lr_schedule(self.step_of_run(step)))
        return [optimizer], [self.lr_scheduler]

    @property
    def running_optimizer(self) -> Any:
        """Return the one optimiser that Lightning runs with; an empty list where it validates without fitting."""
        return self.optimizers(use_pl_optimizer=False)

    @property
    def data(self) -> ImageDataModule:
        """Return the data module that the Trainer runs with."""
        data: ImageDataModule = self.trainer.datamodule  # type: ignore[attr-defined]
        return data

    @property
    def steps_per_epoch(self) -> int:
        """Return how many steps an epoch has in the run that the Trainer is set to."""
        return self._length[1]

    def step_of_run(self, step: int) -> TrainingStep:
        """Return where ``step`` stands in the run that the Trainer is set to."""
        return TrainingStep(step, *self._length)

    def kl_weight_in_force_at(self, at: TrainingStep) -> float:
        """Return the KL weight in force at a step of the run; with a controller, the one it has arrived at."""
        return self.kl_weight * float(self.beta_schedule(at))

    def training_noise(self, n_images: int, *position: int, stream: Stream = Stream.TRAINING_NOISE) -> Codes:
        world_size, rank = self.trainer.world_size, self.trainer.global_rank
        generator = generator_for(self.seed, stream, *position, device=self.device)
        noise = self.posterior.noise((self.objective.n_samples, n_images * world_size, self.latent_dim), generator)
        return noise[:, rank * n_images : (rank + 1) * n_images]

    def on_train_start(self) -> None:
        super().on_train_start()
        self._hooks = hooks_of(self.running_optimizer)

    def training_loss(self, batch: Batch) -> Float[Tensor, ""]:
        step = self.global_step
        at = self.step_of_run(step)
        if self._networks_draw:
            torch.manual_seed(seed_for(self.seed, Stream.MODULES, step, self.trainer.global_rank))
        kl_weight_in_force = self.kl_weight * self.beta_schedule(at)
        if self._hooks.refines:
            self._refine(batch, kl_weight_in_force, at)
        bound = self.bound(batch.pixels, self.training_noise(len(batch.pixels), step), kl_weight_in_force, at)
        self._window.add(bound, kl_weight_in_force)
        if has_feedback(self.beta_schedule):
            means = bound.distortion.detach().mean(), bound.kl_per_unit.detach().sum(-1).mean()
            self.beta_schedule.observe(*(mean_over_ranks(mean) for mean in means))
        # At the end of an epoch too: what is written before a checkpoint need not be in it.
        interval = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        ends_epoch = (step + 1) % at.steps_per_epoch == 0
        if (step + 1) % interval == 0 or ends_epoch:
            self._log_window(step, ends_epoch)
        return bound.loss

    def _refine(self, batch: Batch, kl_weight_in_force: KlWeight, at: TrainingStep) -> None:
        """Give the optimiser the loss of this batch, then of batches drawn for it, before the step."""
        loader = self.data.train_dataloader()

        def loss_of(index: int) -> Float[Tensor, ""]:
            pixels = batch.pixels if index == 0 else loader.drawn_batch(at.step, index).pixels
            noise = self.training_noise(len(pixels), at.step, index, stream=Stream.REFINEMENT_NOISE)
            return self.bound(pixels, noise, kl_weight_in_force, at).loss

        self._hooks.refine(loss_of, self.gradient_clip_val)

    def _log_window(self, step: int, ends_epoch: bool) -> None:
        """Log the means over the steps since the last time and over the ranks, after a check that all are finite."""
        window = self._finite_window(step + 1)
        self._window.clear()
        values = {f"train/{name}": value for name, value in step_buffer.mean_terms(window).items()}
        optimizer = self.running_optimizer
        values["train/learning_rate"] = optimizer.param_groups[0]["lr"]
        values |= {f"train/{name}": value for name, value in self._hooks.training_values().items()}
        if (variance := self.likelihood.variance) is not None:
            values["train/decoder_variance"] = variance
        self._write(values, step, for_callbacks=ends_epoch)

    def _finite_window(self, end: int) -> step_buffer.Rows:
        """Return the means over the ranks of the steps before ``end`` that are not written yet, all finite."""
        reduce = self.trainer.strategy.reduce
        window = self._window.mean_over_ranks(lambda rows: reduce(rows, reduce_op="mean"))
        step_buffer.check_finite(window, end - len(window))
        return window

    def _write(self, values: dict[str, float], step: int, for_callbacks: bool) -> None:
        """Write values, equal on all ranks, into the curves at once.

        Lightning would write them after the callbacks of a step, so that a checkpoint could be ahead of its curves;
        it still gets them for callbacks that look at them, at the end of an epoch, for it takes milliseconds.
        """
        self.latest |= values
        if for_callbacks:
            self.log_dict(values, sync_dist=True, logger=False)
        for logger in self.trainer.loggers:
            logger.log_metrics({**values, "epoch": self.current_epoch}, step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put in what was measured and not written yet, so that the curves of a continued run have no gap."""
        window = self._finite_window(self.global_step).cpu()
        # The last step may have made weights that no loss has seen; two such checkpoints would push the good ones out.
        step_buffer.check_finite_weights(self.parameters(), self.global_step)
        checkpoint[UNWRITTEN] = {"window": window}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        window = checkpoint[UNWRITTEN]["window"]
        self._window.clear()
        if len(window):
            self._window.over_ranks.append(window)

    # Evaluation -------------------------------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        # Noise as a function of (seed, image): the result does not depend on batches, ranks or the epoch.
        n_images = len(self.data.splits[self.data.curve_split].pixels)
        self._evaluation_noise = self._noise_of_images(self.objective.n_samples, n_images)

    def _noise_of_images(self, n_samples: int, n_images: int) -> Float[Tensor, "samples n latent"]:
        generator = generator_for(self.seed, Stream.EVALUATION_NOISE, device=self.device)
        return self.posterior.noise((n_samples, n_images, self.latent_dim), generator)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        posterior = self.encode(batch.pixels)
        noise = self._evaluation_noise[:, batch.rows]
        self.terms.update(*elbo_terms(batch.pixels, posterior, self.prior, self.decoder, self.likelihood, noise))
        self.means.update(posterior.mean)

    def on_validation_epoch_end(self) -> None:
        self.evaluation = self._finish_evaluation()
        split = self.data.curve_split
        values = {f"{split}/{name}": float(value) for name, value in self.evaluation.scalars().items()}
        hooks = hooks_of(self.running_optimizer)
        if hooks.wants_information:
            pixels = self.data.images_to_judge_by(N_INFORMATION_IMAGES).to(self.device)
            with torch.no_grad():
                information = mutual_information(self.encode(pixels), self._noise_of_images(1, len(pixels))).lower
            values["train/information"] = information
            hooks.judge(information)
        self._write(values, self.global_step - 1, for_callbacks=True)

    def _finish_evaluation(self) -> Evaluation:
        terms, means = self.terms.compute(), self.means.compute()
        # Torchmetrics squeezes what one latent unit has measured into a scalar.
        terms = terms._replace(kl_per_unit=terms.kl_per_unit.reshape(-1))
        evaluation = Evaluation(terms, MeanMoments(*(values.reshape(-1) for values in means)))
        self.terms.reset()
        self.means.reset()
        # Before the checkpoint of the epoch is written: the last step may have made weights that no loss has seen.
        step_buffer.check_finite_evaluation(evaluation.scalars(), self.global_step)
        return evaluation
