"""The Lightning Trainer of a run, and how long a run is before Lightning counts it."""

import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.plugins import MixedPrecision
from pydantic import Field

from vae_lightning.data import BATCHES_AT_ONCE, ImageDataModule
from vae_lightning.errors import Code, UserError
from vae_lightning.runs.checkpoints import AtomicCheckpointIO
from vae_lightning.runs.run_config import RunConfig
from vae_lightning.training_step import TrainingStep

__all__ = ["make_trainer"]

Positive = Annotated[int, Field(ge=1)]


def make_trainer(
    run_directory: Path,
    callbacks: Sequence[Callback],
    smoke: bool,
    *,
    accelerator: Literal["cpu", "cuda"],
    devices: Positive | Literal["auto"],
    num_nodes: Positive,
    strategy: Annotated[str, Field(min_length=1)],
    precision: Literal["32-true", "bf16-mixed", "16-mixed"],
    max_epochs: Positive,
    gradient_clip_val: Annotated[float, Field(gt=0)] | None,  # the model clips, which takes its own steps
    log_every_n_steps: Positive,
    deterministic: bool,
) -> Trainer:
    """Return a Trainer that writes into ``run_directory``. With ``smoke`` it sees a few batches only.

    Raises UserError where the devices asked for are not there.
    """
    plugins: list[Any] = [AtomicCheckpointIO(), *precision_plugins(accelerator, precision)]
    if SLURMEnvironment.detect():
        # Lightning's own answer to SLURM's signals saves elsewhere, from inside the handler; ours is Interruption.
        _check_slurm_tasks()
        plugins.append(SLURMEnvironment(auto_requeue=False))
    try:
        return Trainer(
            accelerator=accelerator,
            devices=devices,
            num_nodes=num_nodes,
            strategy=strategy,
            max_epochs=1 if smoke else max_epochs,
            log_every_n_steps=log_every_n_steps,
            deterministic=deterministic,
            limit_train_batches=1 if smoke else None,
            limit_val_batches=1 if smoke else None,
            limit_test_batches=1 if smoke else None,
            default_root_dir=run_directory,
            callbacks=list(callbacks),
            plugins=plugins,
            logger=False,  # the run gives its own once its directory is open
            use_distributed_sampler=False,  # our loaders give each rank its share
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (MisconfigurationException, ValueError) as error:
        reason = f"trainer.accelerator={accelerator}, trainer.devices={devices}: {error}"
        raise UserError(reason, Code.UNAVAILABLE, ("trainer.accelerator", "trainer.devices")) from error


def _check_slurm_tasks() -> None:
    """Raise UserError where SLURM knows only a total number of tasks, from which Lightning cannot place the ranks."""
    n_tasks = os.environ.get("SLURM_NTASKS", "1")
    if n_tasks != "1" and "SLURM_NTASKS_PER_NODE" not in os.environ:
        reason = f"SLURM_NTASKS={n_tasks}: SLURM was told --ntasks without --ntasks-per-node. Give srun as many "
        reason += "--ntasks-per-node as trainer.devices; for one process: srun --ntasks=1 vae-train ..."
        raise UserError(reason, Code.INCOMPATIBLE, ("SLURM_NTASKS", "trainer.devices"))


def precision_plugins(accelerator: str, precision: Literal["32-true", "bf16-mixed", "16-mixed"]) -> list[Any]:
    """Return what makes a Trainer compute in a precision: on a CPU too in the one asked for, never in another."""
    return [] if precision == "32-true" else [MixedPrecision(precision, accelerator)]


def quieten_lightning() -> None:
    """Silence Lightning's device banner and tips; our summaries say what they say."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for expected in (
        "Checkpoint directory .* exists and is not empty",  # so it does when a run is continued
        "smaller than the logging interval",  # the module logs the rest of a short epoch at its end
        "The `srun` command is available on your system",  # a run on a login node, or on a workstation with SLURM
    ):
        warnings.filterwarnings("ignore", message=f".*{expected}.*", category=UserWarning)
    if not torch.cuda.is_available():
        # By this Lightning makes torch look for a GPU's driver library on the disk, in each step of Adam.
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
    # Lightning 2.6 asks torch something in a way that newer torch calls old.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)


def steps_per_epoch(config: RunConfig, data: ImageDataModule) -> int:
    """Return how many optimiser steps an epoch has."""
    return min(BATCHES_AT_ONCE, data.steps_per_epoch) if config.smoke else data.steps_per_epoch


def last_step(config: RunConfig, data: ImageDataModule) -> TrainingStep:
    """Return the last step of a run."""
    n_batches = steps_per_epoch(config, data)
    total = n_batches * (1 if config.smoke else config.trainer["max_epochs"])
    return TrainingStep(total - 1, total, n_batches)
