"""What a run was, for its results: who it is, what was chosen, what made it."""

from typing import Any

import lightning
import torch

from vae_lightning import __version__
from vae_lightning.module import VAE
from vae_lightning.report.start_summary import kl_of
from vae_lightning.runs.command import this_command
from vae_lightning.runs.identity import RunIdentity, critical_quantity, settings, unusual_choices
from vae_lightning.runs.results import forecast_applies

Config = dict[str, Any]


def description(config: Config, identity: RunIdentity, model: VAE, kl_weight: float) -> dict[str, Any]:
    """Return what ``results.json`` says of a run beside what was found: who it is, how it was made, by what."""
    variance = model.likelihood.variance  # as it ended, where it is learned
    return {
        "run": identity.directory.name,
        "study": config["study"]["name"],
        "title": identity.title,
        "command": this_command(),
        "fingerprint": identity.fingerprint,
        "kl_weight": config["kl_weight"],
        "kl_weight_at_the_end": kl_weight,
        "decoder_variance": variance,
        "kl_weight_times_variance": critical_quantity(config, kl_weight, variance),
        "kl_computation": kl_of(model),
        "choices": unusual_choices(config),
        "settings": settings(config),
        "facts/forecast_applies": forecast_applies(settings(config)),
        "latent_dim": config["latent_dim"],
        "seed": config["seed"],
        "versions": {
            "vae-lightning": __version__,
            "torch": torch.__version__,
            "lightning": lightning.__version__,
        },
    }
