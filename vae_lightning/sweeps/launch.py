"""A launcher's work: plan the jobs, do what is not done, show what came of all."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console

from vae_lightning.config import settings_of
from vae_lightning.errors import UserError
from vae_lightning.report.run_table import run_table
from vae_lightning.runs.results import Results
from vae_lightning.sweeps.jobs import Job, Returned, Standing, check_can_return, failure_report, failures, planned
from vae_lightning.sweeps.pool import PoolSettings, work_in_pool
from vae_lightning.sweeps.process import MEMORY
from vae_lightning.sweeps.slots import slots_of_this_machine
from vae_lightning.sweeps.slurm import SlurmSettings, work_in_slurm

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from omegaconf import DictConfig

PREFIX = "hydra.launcher."


class Asked(NamedTuple):
    """What Hydra asks a launcher for."""

    loader: "ConfigLoader"
    sweep: "DictConfig"
    job_overrides: Sequence[Sequence[str]]
    first_number: int

    @property
    def folder(self) -> Path:
        """Where the sweep's own files go."""
        return Path(self.sweep.hydra.sweep.dir).absolute()


def launch_in_pool(asked: Asked, settings: dict[str, Any], context: ForkServerContext) -> list[Job]:
    """Do a sweep's jobs on this machine; return them as they stand.

    Raises:
        UserError: the launcher's settings do not fit the machine or the jobs.
        Interrupted: a signal came; all jobs have saved and stopped.
    """
    chosen = settings_of(PoolSettings, settings, PREFIX)
    if chosen.memory_gb is not None and not MEMORY.exists():
        raise UserError(f"hydra.launcher.memory_gb={chosen.memory_gb}: only Linux tells how much memory a process has")
    jobs = _planned(asked, chosen.returns)
    accelerators = {job.config["trainer"]["accelerator"] for job in jobs if job.config}
    accelerator = "cuda" if "cuda" in accelerators else "cpu"
    slots = slots_of_this_machine(accelerator, chosen.gpus, chosen.jobs_per_gpu, chosen.n_slots, chosen.threads)
    console = Console()
    with results_shown(jobs, console):
        work_in_pool(jobs, chosen, slots, context, console)
    return jobs


def launch_in_slurm(asked: Asked, settings: dict[str, Any]) -> list[Job]:
    """Do a sweep's jobs through SLURM; return them as they stand. Raises as :func:`work_in_slurm`."""
    chosen = settings_of(SlurmSettings, settings, PREFIX)
    jobs = _planned(asked, chosen.returns)
    console = Console()
    with results_shown(jobs, console):
        work_in_slurm(jobs, chosen, asked.folder, console)
    return jobs


def _planned(asked: Asked, returns: Returned) -> list[Job]:
    jobs = planned(*asked, asked.folder)
    check_can_return(jobs, returns)
    # As Hydra's own launchers do: sweepers write what they found there, also if no job had to be done.
    asked.folder.mkdir(parents=True, exist_ok=True)
    return jobs


@contextmanager
def results_shown(jobs: Sequence[Job], console: Console) -> Iterator[None]:
    """Show what came of the jobs when the block is over, however it ends."""
    try:
        yield
    except BaseException:  # else the failures come last of all
        if failures(jobs):
            console.print(failure_report(jobs), soft_wrap=True, highlight=False, markup=False)
        raise
    finally:
        found = [Results(job.results) for job in jobs if job.results]
        if found:
            console.print(run_table(found, console.width))
        folders = dict.fromkeys(str(job.directory.parent) for job in jobs if job.directory)
        stopped = sum(job.standing in {Standing.STOPPED, Standing.WAITING, Standing.RUNNING} for job in jobs)
        if stopped:
            console.print(
                f"{stopped} jobs are not finished; the same command (without rerun=true) goes on with them",
                highlight=False,
            )
        if found:
            console.print(f"for all of it in one page: vae-report {' '.join(folders)}", soft_wrap=True, highlight=False)
