"""The work of a launcher: plan the jobs, do those that wait, show the results of all."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.context import ForkServerContext
from typing import Any

from rich.console import Console

from vae_lightning.config import settings_of
from vae_lightning.errors import Code, UserError
from vae_lightning.report.run_table import run_table
from vae_lightning.runs.results import Results
from vae_lightning.runs.status import RunStatus
from vae_lightning.sweeps.jobs import Job, Returned, failure_report, failures
from vae_lightning.sweeps.pool import Pool, PoolSettings
from vae_lightning.sweeps.process import MEMORY, start_process
from vae_lightning.sweeps.progress import SweepProgress
from vae_lightning.sweeps.slots import slots_of_this_machine
from vae_lightning.sweeps.slurm import SlurmSettings, run_in_slurm
from vae_lightning.terminal import print_line

PREFIX = "hydra.launcher."
Plan = Callable[[Returned], list[Job]]
"""A function that returns the jobs, once it is known what they shall return to the sweeper."""


def launch_in_pool(plan: Plan, settings: dict[str, Any], context: ForkServerContext) -> list[Job]:
    """Do the jobs of a sweep on this machine; return them with what came of each.

    Raises UserError where the settings do not fit the machine or the jobs; Interrupted at a signal, all jobs saved.
    """
    chosen = settings_of(PoolSettings, settings, PREFIX)
    if chosen.memory_gb is not None and not MEMORY.exists():
        message = f"hydra.launcher.memory_gb={chosen.memory_gb}: only Linux shows how much memory a process has"
        raise UserError(message, Code.UNAVAILABLE, ["hydra.launcher.memory_gb"])
    jobs = plan(chosen.returns)
    on_gpu = any(job.config and job.config.trainer["accelerator"] == "cuda" for job in jobs)
    limits = chosen.gpus, chosen.jobs_per_gpu, chosen.n_slots, chosen.threads
    slots = slots_of_this_machine("cuda" if on_gpu else "cpu", *limits)
    start = partial(start_process, context)
    with _results_shown(jobs) as console, SweepProgress(jobs, console, slots.in_words) as progress:
        Pool(jobs, chosen, slots, start, progress).run()
    return jobs


def launch_in_slurm(plan: Plan, settings: dict[str, Any]) -> list[Job]:
    """Do the jobs of a sweep through SLURM; return them with what came of each. Raises as :func:`run_in_slurm`."""
    chosen = settings_of(SlurmSettings, settings, PREFIX)
    jobs = plan(chosen.returns)
    with _results_shown(jobs) as console:
        run_in_slurm(jobs, chosen, console)
    return jobs


@contextmanager
def _results_shown(jobs: Sequence[Job]) -> Iterator[Console]:
    """Show the results of the jobs when the block is over, however it ends."""
    console = Console()
    try:
        yield console
    except BaseException:  # else the failures come last of all
        if failures(jobs):
            print_line(console, failure_report(jobs))
        raise
    finally:
        distinct = [job for job in jobs if job.same_as is None]
        found = [Results(job.results) for job in distinct if job.results]
        if found:
            console.print(run_table(found, console.width))
        if n_left := sum(job.status not in {RunStatus.FINISHED, RunStatus.FAILED} for job in distinct):
            again = "the same command (without rerun=true) goes on with them"
            print_line(console, f"{n_left} jobs are not finished; {again}")
        if found:
            folders = dict.fromkeys(str(job.directory.parent) for job in jobs if job.directory)
            print_line(console, f"for all of it in one page: vae-report {shlex.join(folders)}")
