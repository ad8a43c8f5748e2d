"""``vae-train``: one run; with ``-m`` a sweep, which ends in a table."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from vae_lightning.cli.door import explain, open_door
from vae_lightning.composing import config_folder, resolved
from vae_lightning.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

finished_in_sweep: list[dict[str, Any]] = []
"""Results of the jobs of a multirun, which Hydra runs one after another in this process."""


@hydra.main(config_path=str(config_folder()), config_name="config", version_base="1.3")
def run(hydra_config: "DictConfig") -> None:
    """Train the run that a composed config names, or show its results if it is finished."""
    from vae_lightning.training import train

    config = resolved(hydra_config)
    if HydraConfig.get().mode == RunMode.RUN:
        train(config)
        return
    if config["study"]["name"] == "default" and config["wandb"]["group"] is None:
        config["wandb"]["group"] = f"sweep {Path(HydraConfig.get().sweep.dir).name}"
    if config["trainer"]["devices"] != 1 or config["trainer"]["num_nodes"] != 1:
        raise UserError(
            f"trainer.devices={config['trainer']['devices']}: the jobs of a sweep (-m) take one device each; "
            "use trainer.devices=1, or start the runs one by one"
        )
    try:
        finished_in_sweep.append(train(config))
    except UserError as error:  # Hydra goes on with the next job and raises the first failure at the end
        print(f"FAILED {' '.join(HydraConfig.get().overrides.task)}\n{explain(error)}", file=sys.stderr)  # noqa: T201
        raise


def run_and_summarise() -> None:
    try:
        run()
    finally:
        if finished_in_sweep:
            from rich.console import Console

            from vae_lightning.report.tables import run_table

            console = Console()
            console.print(run_table(finished_in_sweep, console.width))


def main() -> None:
    open_door(run_and_summarise)
