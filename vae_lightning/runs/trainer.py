"""The Lightning Trainer of a run: Lightning does the loop, the device, the strategy and the checkpoint."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.plugins import MixedPrecision
from pydantic import Field

from vae_lightning.errors import Code, UserError
from vae_lightning.runs.checkpoints import AtomicCheckpointIO

__all__ = ["make_trainer"]

Positive = Annotated[int, Field(ge=1)]
SMOKE_BATCHES = 4


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
    gradient_clip_val: Annotated[float, Field(gt=0)] | None,
    log_every_n_steps: Positive,
    deterministic: bool,
) -> Trainer:
    """Return a Trainer that writes into ``run_directory``. With ``smoke`` it sees a few batches only.

    Raises:
        UserError: the devices asked for are not there.
    """
    plugins: list[Any] = [AtomicCheckpointIO(), *precision_plugins(accelerator, precision)]
    if SLURMEnvironment.detect():
        # Lightning's own answer to SLURM's signals saves elsewhere, from inside the handler; ours is Interruption.
        plugins.append(SLURMEnvironment(auto_requeue=False))
    try:
        return Trainer(
            accelerator=accelerator,
            devices=devices,
            num_nodes=num_nodes,
            strategy=strategy,
            max_epochs=1 if smoke else max_epochs,
            gradient_clip_val=gradient_clip_val,
            log_every_n_steps=log_every_n_steps,
            deterministic=deterministic,
            limit_train_batches=SMOKE_BATCHES if smoke else None,
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
        keys = ("trainer.accelerator", "trainer.devices")
        raise UserError(f"{keys[0]}={accelerator}, {keys[1]}={devices}: {error}", Code.UNAVAILABLE, keys) from error


def precision_plugins(accelerator: str, precision: Literal["32-true", "bf16-mixed", "16-mixed"]) -> list[Any]:
    """Return what makes a Trainer compute in a precision: on a CPU too in the one asked for, never in another."""
    return [] if precision == "32-true" else [MixedPrecision(precision, accelerator)]


def quieten_lightning() -> None:
    """Our summaries say what Lightning's device banner and tips say."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    for expected in (
        "Checkpoint directory .* exists and is not empty",  # so it does when a run is continued
        "smaller than the logging interval",  # the module logs the rest of a short epoch at its end
        "The `srun` command is available on your system",  # a run on a login node, or on a workstation with SLURM
    ):
        warnings.filterwarnings("ignore", message=f".*{expected}.*", category=UserWarning)
    # Lightning 2.6 asks torch something in a way that newer torch calls old.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
