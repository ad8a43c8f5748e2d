"""The work of a launcher: plan the jobs, do those that wait, show the results of all."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console

from vae_lightning.config import settings_of
from vae_lightning.errors import Code, UserError
from vae_lightning.report.run_table import run_table
from vae_lightning.runs.results import Results
from vae_lightning.runs.status import RunStatus
from vae_lightning.sweeps.jobs import Job, Returned, failure_report, failures
from vae_lightning.sweeps.planning import check_can_return, planned
from vae_lightning.sweeps.pool import PoolSettings, run_in_pool
from vae_lightning.sweeps.process import MEMORY
from vae_lightning.sweeps.slots import slots_of_this_machine
from vae_lightning.sweeps.slurm import SlurmSettings, run_in_slurm

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from omegaconf import DictConfig

PREFIX = "hydra.launcher."


class LaunchRequest(NamedTuple):
    """The jobs that Hydra asks a launcher to do."""

    loader: "ConfigLoader"
    sweep: "DictConfig"
    job_overrides: Sequence[Sequence[str]]
    first_number: int

    @property
    def folder(self) -> Path:
        """The folder for the files of the sweep itself."""
        return Path(self.sweep.hydra.sweep.dir).absolute()


def launch_in_pool(request: LaunchRequest, settings: dict[str, Any], context: ForkServerContext) -> list[Job]:
    """Do the jobs of a sweep on this machine; return them with what came of each.

    Raises:
        UserError: the launcher's settings do not fit the machine or the jobs.
        Interrupted: a signal came; all jobs have saved and stopped.
    """
    chosen = settings_of(PoolSettings, settings, PREFIX)
    if chosen.memory_gb is not None and not MEMORY.exists():
        raise UserError(
            f"hydra.launcher.memory_gb={chosen.memory_gb}: only Linux shows how much memory a process has",
            Code.UNAVAILABLE,
            ("hydra.launcher.memory_gb",),
        )
    jobs = _planned(request, chosen.returns)
    accelerator = "cuda" if any(job.config and job.accelerator == "cuda" for job in jobs) else "cpu"
    slots = slots_of_this_machine(accelerator, chosen.gpus, chosen.jobs_per_gpu, chosen.n_slots, chosen.threads)
    console = Console()
    with results_shown(jobs, console):
        run_in_pool(jobs, chosen, slots, context, console)
    return jobs


def launch_in_slurm(request: LaunchRequest, settings: dict[str, Any]) -> list[Job]:
    """Do the jobs of a sweep through SLURM; return them with what came of each. Raises as :func:`run_in_slurm`."""
    chosen = settings_of(SlurmSettings, settings, PREFIX)
    jobs = _planned(request, chosen.returns)
    console = Console()
    with results_shown(jobs, console):
        run_in_slurm(jobs, chosen, request.folder, console)
    return jobs


def _planned(request: LaunchRequest, returns: Returned) -> list[Job]:
    jobs = planned(*request, request.folder)
    check_can_return(jobs, returns)
    # As Hydra's own launchers do: sweepers write what they found there, also if no job had to be done.
    request.folder.mkdir(parents=True, exist_ok=True)
    return jobs


@contextmanager
def results_shown(jobs: Sequence[Job], console: Console) -> Iterator[None]:
    """Show the results of the jobs when the block is over, however it ends."""
    try:
        yield
    except BaseException:  # else the failures come last of all
        if failures(jobs):
            console.print(failure_report(jobs), soft_wrap=True, highlight=False, markup=False)
        raise
    finally:
        distinct = [job for job in jobs if job.same_as is None]
        found = [Results(job.results) for job in distinct if job.results]
        if found:
            console.print(run_table(found, console.width))
        folders = dict.fromkeys(str(job.directory.parent) for job in jobs if job.directory)
        n_left = sum(job.status not in {RunStatus.FINISHED, RunStatus.FAILED} for job in distinct)
        lines = []
        if n_left:
            lines.append(f"{n_left} jobs are not finished; the same command (without rerun=true) goes on with them")
        if found:
            lines.append(f"for all of it in one page: vae-report {shlex.join(folders)}")
        for line in lines:
            console.print(line, soft_wrap=True, highlight=False, markup=False)
