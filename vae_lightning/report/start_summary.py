"""What a run says before it starts."""

import copy
from typing import Any

import torch
from lightning.pytorch import Trainer
from rich.console import Group, RenderableType
from rich.text import Text

from vae_lightning.combinations import caveats, has_weighted_kl, kl_computation
from vae_lightning.data import ImageDataModule
from vae_lightning.distributions import GaussianLearnedLikelihood
from vae_lightning.module import VAE
from vae_lightning.runs.identity import PLAIN, RunIdentity, critical_quantity, critical_text, is_plain
from vae_lightning.runs.length import last_moment, steps_per_epoch
from vae_lightning.runs.summaries import forecast_text
from vae_lightning.schedules import Controller
from vae_lightning.terminal import framed_list
from vae_lightning.theory import Forecast

Config = dict[str, Any]
SURVIVAL = ": a direction of the data can live only if its variance is larger"
LEARNED = "; σ² is learned, and this is its start"


def start_summary(
    config: Config,
    identity: RunIdentity,
    data: ImageDataModule,
    model: VAE,
    trainer: Trainer,
    model_forecast: Forecast | None,
) -> RenderableType:
    """Return what a run is about to do."""
    training, test = data.splits["train"].pixels, data.splits["test"].pixels
    shape = "x".join(map(str, data.image_shape))
    held_out = f"{len(data.splits['val'].pixels):,} validation, " if data.curve_split == "val" else ""
    encoder, decoder = (sum(p.numel() for p in part.parameters()) for part in (model.encoder, model.decoder))
    variance = model.likelihood.variance
    critical = critical_quantity(config, model.kl_weight, variance)
    learned = isinstance(model.likelihood, GaussianLearnedLikelihood)
    collapse = critical_text(critical) + (SURVIVAL if critical else "") + (LEARNED if critical and learned else "")
    names = {part: config[part]["name"] for part in PLAIN}
    devices = f"{trainer.num_devices} x {trainer.strategy.root_device.type}"
    rows = [
        ("run", identity.title),
        ("data", f"{len(training):,} training, {held_out}{len(test):,} test images of {shape}"),
        ("model", f"{config['model']['name']}, latent {model.latent_dim}; parameters: {encoder:,} + {decoder:,}"),
        ("objective", f"{names['objective']}, gradient {names['estimator']}, beta schedule {names['beta_schedule']}"),
        ("densities", f"likelihood {names['likelihood']}, posterior {names['posterior']}"),
        ("KL", kl_of(model)),
        ("optimiser", f"{names['optimizer']}, learning rate {names['lr_schedule']}"),
        ("collapse", collapse),
        ("forecast", _forecast(config, data, model, model_forecast)),
        (
            "length",
            f"epochs: {trainer.max_epochs}, each of {steps_per_epoch(config, data)} batches of {data.batch_size}",
        ),
        ("device", f"{devices}, {torch.get_num_threads()} threads, precision {config['trainer']['precision']}"),
    ]
    notes = caveats(model.objective, model.objective.estimator, model.posterior, model.likelihood, data.binarize)
    panel = framed_list("vae-train", [*rows, *(("note", note) for note in notes)])
    # The path on a line of its own, whole, so that it can be copied.
    return Group(panel, Text(f"writes to {identity.directory}", no_wrap=True))


def _forecast(config: Config, data: ImageDataModule, model: VAE, model_forecast: Forecast | None) -> str:
    if not has_weighted_kl(model.objective, model.posterior):
        return "none: there is no KL in this loss"
    return forecast_text(model_forecast, _expected_kl_weight(config, data, model), plain=is_plain(config))


def _expected_kl_weight(config: Config, data: ImageDataModule, model: VAE) -> float | None:
    """Return the KL weight at the end of the run, where no controller will decide it."""
    return None if isinstance(model.beta_schedule, Controller) else model.kl_weight_at(last_moment(config, data))


def kl_of(model: VAE) -> str:
    """Say how the KL of this model comes about."""
    family = copy.deepcopy(model.posterior)  # looking at a posterior must not move running statistics
    posterior = family(torch.zeros((2, family.n_parameters), device=model.device))
    return kl_computation(model.objective, posterior)
