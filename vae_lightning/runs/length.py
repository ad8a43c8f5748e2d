"""How long a run is, before Lightning counts it."""

from vae_lightning.data import ImageDataModule
from vae_lightning.runs.run_config import RunConfig
from vae_lightning.runs.trainer import SMOKE_BATCHES
from vae_lightning.training_step import TrainingStep


def steps_per_epoch(config: RunConfig, data: ImageDataModule) -> int:
    """Return how many optimiser steps an epoch has."""
    return SMOKE_BATCHES if config.smoke else len(data.splits["train"].pixels) // data.batch_size


def last_step(config: RunConfig, data: ImageDataModule) -> TrainingStep:
    """Return the last step of a run."""
    n_batches = steps_per_epoch(config, data)
    total = n_batches * (1 if config.smoke else config.trainer["max_epochs"])
    return TrainingStep(total - 1, total, n_batches)
