"""``vae-train``: one run; with ``-m`` a sweep, by the launcher that is chosen."""

import os
import sys
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from vae_lightning.cli.run_command import explain, run_command
from vae_lightning.cli.swept_settings import with_settings_swept
from vae_lightning.composing import resolved
from vae_lightning.conf_folder import config_folder
from vae_lightning.errors import Code, UserError
from vae_lightning.runs.command import COMMAND, this_command
from vae_lightning.sweeps.plugins import register

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from vae_lightning.runs.results import Results

finished_in_sweep: "list[Results]" = []
"""Results of the jobs of a multirun, which Hydra runs one after another in this process."""


@hydra.main(config_path=str(config_folder()), config_name="config", version_base="1.3")
def run(hydra_config: "DictConfig") -> "Results":
    """Train the run that a composed config names, or show its results if it is finished; return them."""
    from vae_lightning.training import train

    config = resolved(hydra_config)
    if HydraConfig.get().mode == RunMode.RUN:
        return train(config, measure_threads=True)
    try:
        results = _job_of_a_serial_sweep(config)
    except UserError as error:  # Hydra goes on with the next job and raises the first failure at the end
        print(f"FAILED {' '.join(HydraConfig.get().overrides.task)}\n{explain(error)}", file=sys.stderr)  # noqa: T201
        raise
    finished_in_sweep.append(results)
    return results


def _job_of_a_serial_sweep(composed: dict[str, Any]) -> "Results":
    """Train a job of a launcher of Hydra's own, which does the jobs one after another in this process."""
    from vae_lightning.config import checked
    from vae_lightning.sweeps.planning import with_group
    from vae_lightning.training import train

    config = checked(composed)
    devices = config.trainer["devices"]
    if devices != 1 or config.trainer["num_nodes"] != 1:
        message = f"trainer.devices={devices}: each job of a serial sweep has one; hydra/launcher=pool gives more"
        raise UserError(message, Code.INCOMPATIBLE, ["trainer.devices", "trainer.num_nodes", "hydra/launcher"])
    return train(with_group(config, HydraConfig.get().sweep.dir))


def run_and_summarise() -> None:
    try:
        run()
    finally:
        if finished_in_sweep:
            from rich.console import Console

            from vae_lightning.report.run_table import run_table

            console = Console()
            console.print(run_table(finished_in_sweep, console.width))


def main() -> None:
    register()
    arguments = with_settings_swept(sys.argv[1:])
    if arguments != sys.argv[1:]:
        os.environ.setdefault(COMMAND, this_command())  # runs are told as they were typed
        sys.argv[1:] = arguments
    run_command(run_and_summarise)


if __name__ == "__main__":
    main()
