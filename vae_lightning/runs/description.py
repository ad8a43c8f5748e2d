"""What a run was, for its results: who it is, what was chosen, what made it."""

import os
import platform
from typing import Any

import lightning
import torch

from vae_lightning import __version__
from vae_lightning.combinations import critical_quantity, kl_computation
from vae_lightning.module import VAE
from vae_lightning.runs.command import this_command
from vae_lightning.runs.identity import settings, unusual_choices
from vae_lightning.runs.run_config import RunConfig


def description(config: RunConfig, model: VAE, kl_weight: float) -> dict[str, Any]:
    """Return what ``results.json`` says of a run beside what was found: who it is, how it was made, by what."""
    parts = (model.objective, model.posterior, model.likelihood, model.beta_schedule)
    return {
        "run": config.directory.name,
        "study": config.study.name,
        "title": config.identity.title,
        "command": this_command(),
        "fingerprint": config.fingerprint,
        "kl_weight": config.kl_weight,
        "kl_weight_at_the_end": kl_weight,
        "decoder_variance": model.likelihood.variance,  # as it ended, where it is learned
        "kl_weight_times_variance": critical_quantity(*parts, kl_weight),
        "kl_computation": kl_computation(model.objective, model.posterior, model.prior),
        "choices": unusual_choices(config.plain()),
        "settings": settings(config.plain()),
        "latent_dim": config.latent_dim,
        "seed": config.seed,
        "machine": _machine(model),
        "versions": {"vae-lightning": __version__, "torch": torch.__version__, "lightning": lightning.__version__},
    }


def _machine(model: VAE) -> str:
    """Return what a run's seconds are seconds of."""
    if model.device.type == "cuda":
        return torch.cuda.get_device_name(model.device)
    n_threads, n_cores = torch.get_num_threads(), os.cpu_count()
    return f"{platform.machine()}, {n_threads} of {n_cores} cores"
