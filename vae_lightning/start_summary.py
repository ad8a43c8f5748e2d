"""What a run says before it starts."""

import torch
from lightning.pytorch import Trainer
from rich.console import RenderableType

from vae_lightning.combinations import (
    caveats,
    ceiling_price,
    critical_quantity,
    has_weighted_kl,
    kl_computation,
    why_units_live,
)
from vae_lightning.data import ImageDataModule
from vae_lightning.data.scale import IN_WORDS
from vae_lightning.module import VAE
from vae_lightning.runs.run_config import RunConfig
from vae_lightning.runs.summaries import ceiling_text, forecast_text
from vae_lightning.runs.trainer import last_step, steps_per_epoch
from vae_lightning.schedules import has_feedback
from vae_lightning.terminal import framed_list
from vae_lightning.theory import Forecast, NoForecast

LEAST_LARGEST = 32
"""What some pixel of pictures in bytes is sure to reach."""


def start_summary(
    config: RunConfig, data: ImageDataModule, model: VAE, trainer: Trainer, model_forecast: Forecast | NoForecast
) -> RenderableType:
    """Return what a run is about to do."""
    training, test = data.splits["train"].pixels, data.splits["test"].pixels
    shape = "x".join(map(str, data.image_shape))
    held_out = f"{len(data.splits['val'].pixels):,} validation, " if data.curve_split == "val" else ""
    encoder, decoder = (sum(p.numel() for p in part.parameters()) for part in (model.encoder, model.decoder))
    length = f"epochs: {trainer.max_epochs}, each of {steps_per_epoch(config, data)} batches of {data.batch_size}"
    objective = f"{config.objective.name}, gradient {config.estimator.name}, beta schedule {config.beta_schedule.name}"
    devices = f"{trainer.num_devices} x {trainer.strategy.root_device.type}"
    rows = [
        ("run", config.identity.title),
        ("data", f"{len(training):,} training, {held_out}{len(test):,} test images of {shape}; {IN_WORDS[data.scale]}"),
        ("model", f"{config.model.name}, latent {model.latent_dim}; parameters: {encoder:,} + {decoder:,}"),
        ("objective", objective),
        ("densities", f"likelihood {config.likelihood.name}, posterior {config.posterior.name}"),
        ("KL", kl_computation(model.objective, model.posterior, model.prior)),
        ("optimiser", f"{config.optimizer.name}, learning rate {config.lr_schedule.name}"),
        ("collapse", _collapse(model)),
        ("forecast", _forecast(config, data, model, model_forecast)),
        ("KL ceiling", _ceiling(config, data, model, model_forecast)),
        ("length", length),
        ("device", f"{devices}, threads: {torch.get_num_threads()}, precision {config.trainer['precision']}"),
    ]
    notes = [
        *_doubts(data),
        *caveats(model.objective, model.objective.estimator, model.posterior, model.likelihood, data.binarize),
    ]
    return framed_list("vae-train", [*rows, *(("note", note) for note in notes)])


def _doubts(data: ImageDataModule) -> list[str]:
    """Say where bytes may be something else than pixels."""
    pixels = data.splits["train"].pixels
    largest = int(pixels.max()) if data.scale == "bytes" else LEAST_LARGEST
    if data.scale == "bytes" and (largest < LEAST_LARGEST or min(data.image_shape[1:]) == 1):
        return [f"the largest byte is {largest}, and each is divided by 255; if these are counts: data.scale=counts"]
    return []


def _collapse(model: VAE) -> str:
    parts = (model.objective, model.posterior, model.likelihood, model.beta_schedule)
    critical = critical_quantity(*parts, model.kl_weight)
    if critical is None:
        return "not decided by kl_weight·σ² alone"
    learned = "" if model.likelihood.least_variance is None else "; σ² is learned, and this is its start"
    return f"kl_weight·σ² {critical:g}: a direction of the data can live only if its variance is larger{learned}"


def _forecast(config: RunConfig, data: ImageDataModule, model: VAE, found: Forecast | NoForecast) -> str:
    if not has_weighted_kl(model.objective, model.posterior):
        return "none: there is no KL in this loss"
    # A controller will decide the weight at the end.
    at_the_end = None if has_feedback(model.beta_schedule) else model.kl_weight_in_force_at(last_step(config, data))
    return forecast_text(found, at_the_end, why_units_live(model.objective, model.posterior))


def _ceiling(config: RunConfig, data: ImageDataModule, model: VAE, found: Forecast | NoForecast) -> str:
    in_force = model.kl_weight_in_force_at(last_step(config, data))
    price = ceiling_price(model.objective, model.posterior, model.beta_schedule, in_force)
    return ceiling_text(found, price, model.latent_dim * model.posterior.least_kl_per_unit)
