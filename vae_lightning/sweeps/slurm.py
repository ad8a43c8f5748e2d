"""Sweeps beyond one machine: submitit hands each job to SLURM, once, also where the command is given again."""

import contextlib
import importlib
import json
import math
import os
import shutil
import signal
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from rich.console import Console

from vae_lightning.errors import Code, Interrupted, UserError
from vae_lightning.files import write_json
from vae_lightning.runs.run_config import Section
from vae_lightning.signals import signals_blocked
from vae_lightning.sweeps.jobs import Job, Returned
from vae_lightning.sweeps.progress import SweepProgress
from vae_lightning.sweeps.slurm_following import follow_queue, queue_or_error
from vae_lightning.sweeps.slurm_run import SAVE_SIGNAL, RunInSlurm

if TYPE_CHECKING:
    import submitit

RECORDS = Path(".sweeps/slurm")
"""A folder in ``runs_dir`` with the SLURM job of each run, so that the same command does not queue it twice."""


class SlurmSettings(Section):
    """The section ``hydra.launcher`` of ``hydra/launcher=slurm``."""

    partition: str | None
    time_min: PositiveInt
    cpus_per_task: PositiveInt
    mem_gb: PositiveFloat | None
    account: str | None
    qos: str | None
    at_once: PositiveInt
    signal_before_s: PositiveInt
    max_timeouts: NonNegativeInt
    setup: list[str]
    sbatch: dict[str, Any] | None
    returns: Returned


def run_in_slurm(jobs: Sequence[Job], settings: SlurmSettings, console: Console) -> None:
    """Submit the jobs that wait and are not in the queue already; return when all have left it.

    Raises UserError where there is no SLURM or submitit, or SLURM refuses; Interrupted at Ctrl-C: the jobs stay queued.
    """
    submitit = _submitit(settings)
    waiting, listed = [job for job in jobs if job.waits], queue_or_error()
    ids = {job.number: found for job in waiting if (found := _recorded(job)) in listed}
    for alike in _by_resources([job for job in waiting if job.number not in ids]):
        try:
            executor = submitit.SlurmExecutor(alike[0].log.parent / "slurm", settings.max_timeouts)
            ids |= _submitted(executor, alike, settings)
        except UserError as error:
            there = f"\n{len(ids)} others are in the queue; scancel {_arrays(ids)} would stop them" if ids else ""
            raise UserError(f"{error}{there}", error.code, error.about) from error
    try:
        with SweepProgress(jobs, console, f"SLURM, partition {settings.partition or 'by default'}") as progress:
            follow_queue({ids[job.number]: job for job in waiting}, progress)
    except KeyboardInterrupt as stopped:
        stay = "the jobs stay in SLURM's queue, and the same command watches them again"
        raise Interrupted(signal.SIGINT, f"{stay}; scancel {_arrays(ids)} would stop them") from stopped


def _submitit(settings: SlurmSettings) -> ModuleType:
    """Return the module submitit. Raises UserError where the settings, or what is installed, do not allow its use."""
    if settings.signal_before_s >= 60 * settings.time_min:
        message = f"hydra.launcher.signal_before_s={settings.signal_before_s}: must be less than the time of a job"
        about = ["hydra.launcher.signal_before_s", "hydra.launcher.time_min"]
        raise UserError(f"{message}, hydra.launcher.time_min={settings.time_min} minutes", about=about)
    if shutil.which("sbatch") is None:
        message = "hydra/launcher=slurm: there is no sbatch here; hydra/launcher=pool uses this machine alone"
        raise UserError(message, Code.UNAVAILABLE, ["hydra/launcher", "sbatch"])
    # Read by submitit when it is imported, here and on the nodes.
    os.environ["SUBMITIT_PREEMPT_SIGNAL"] = SAVE_SIGNAL.name.removeprefix("SIG")
    try:
        return importlib.import_module("submitit")
    except ImportError as error:
        message = f"hydra/launcher=slurm: {error}; pip install 'vae-lightning[slurm]'"
        raise UserError(message, Code.UNAVAILABLE, ["hydra/launcher", "submitit"]) from error


def _arrays(ids: dict[int, str]) -> str:
    return " ".join(sorted({job_id.split("_")[0] for job_id in ids.values()}))


def _by_resources(jobs: Sequence[Job]) -> list[list[Job]]:
    """Return the jobs in groups of the same number of nodes and devices: an array has one kind of job."""
    groups: dict[tuple[Any, ...], list[Job]] = defaultdict(list)
    for job in jobs:
        if job.n_devices is None:
            message = "trainer.devices=auto: SLURM must be told how many; trainer.devices=1, 2, …"
            raise UserError(message, Code.INCOMPATIBLE, ["trainer.devices", "hydra/launcher"])
        groups[job.run.trainer["num_nodes"], job.n_devices, job.run.trainer["accelerator"]].append(job)
    return list(groups.values())


def _submitted(executor: "submitit.SlurmExecutor", jobs: Sequence[Job], settings: SlurmSettings) -> dict[int, str]:
    """Submit jobs as one array; return the SLURM id of each."""
    n_devices, trainer = jobs[0].n_devices, jobs[0].run.trainer
    chosen = {name: getattr(settings, name) for name in ("partition", "account", "qos")}
    executor.update_parameters(
        job_name="vae-train",
        time=settings.time_min,
        nodes=trainer["num_nodes"],
        ntasks_per_node=n_devices,
        cpus_per_task=settings.cpus_per_task,
        signal_delay_s=settings.signal_before_s,
        array_parallelism=settings.at_once,
        stderr_to_stdout=True,
        srun_args=["--kill-on-bad-exit=1"],  # else the ranks beside one that failed wait for it, with all GPUs held
        setup=[f"export SUBMITIT_PREEMPT_SIGNAL={os.environ['SUBMITIT_PREEMPT_SIGNAL']}", *settings.setup],
        **{name: value for name, value in chosen.items() if value is not None},
        **({"mem": f"{math.ceil(settings.mem_gb * 1024)}M"} if settings.mem_gb else {}),
        **({"gpus_per_node": n_devices} if trainer["accelerator"] == "cuda" else {}),
        additional_parameters=settings.sbatch,
    )
    with signals_blocked():  # a job that is queued is recorded too
        try:
            with executor.batch():
                tasks = (RunInSlurm(job.run, settings.cpus_per_task, job.outcome, job.replaces) for job in jobs)
                submitted = [executor.submit(task) for task in tasks]
        except Exception as error:  # of submitit, with the words of sbatch in it
            message = f"hydra/launcher=slurm: {len(jobs)} jobs were not taken; {error}"
            raise UserError(message, Code.FAILED, ["hydra/launcher", "sbatch"]) from error
        ids = {}
        try:
            for job, found in zip(jobs, submitted, strict=True):
                job.log, ids[job.number] = found.paths.stdout, found.job_id
                record = _record(job)
                record.parent.mkdir(parents=True, exist_ok=True)
                write_json(record, {"job": found.job_id, "log": str(job.log), "outcome": str(job.outcome)})
        except OSError:
            for found in submitted:
                found.cancel()
            raise
    return ids


def _record(job: Job) -> Path:
    folder = job.run.directory
    return folder.parent.parent / RECORDS / folder.parent.name / f"{folder.name}.json"


def _recorded(job: Job) -> str | None:
    """Return the SLURM job that an earlier sweep submitted for a run."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        found = json.loads(_record(job).read_text(encoding="utf-8"))
        job.log, job.outcome = Path(found["log"]), Path(found["outcome"])
        return str(found["job"])
    return None
