"""Beyond one machine: submitit hands each job to SLURM, and this process watches the queue and the runs' own files."""

import contextlib
import json
import math
import os
import re
import shutil
import signal
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console

from vae_lightning.errors import Interrupted, UserError
from vae_lightning.files import write_json
from vae_lightning.sweeps.jobs import Job, Returned, Standing
from vae_lightning.sweeps.process import signals_held
from vae_lightning.sweeps.progress import SweepProgress
from vae_lightning.sweeps.slurm_queue import account, queue, queue_or_error
from vae_lightning.sweeps.slurm_run import SAVE_SIGNAL, RunInSlurm

if TYPE_CHECKING:
    import submitit

LOOK_S = 2.0
SETTLED_S = 20.0
"""A job that has left the queue has so long to show its results: shared folders are slow."""
JOB_NAME = "vae-train"
RECORDS = Path(".sweeps/slurm")
"""In ``runs_dir``: each run's job in SLURM, so that the same command finds it again instead of queueing it twice."""
IN_QUEUE = re.compile(r"PENDING|CONFIGURING|REQUEUE|SUSPENDED|RESV|SPECIAL_EXIT")


class SlurmSettings(BaseModel):
    """The section ``hydra.launcher`` of ``hydra/launcher=slurm``."""

    model_config = ConfigDict(extra="forbid", strict=True)
    partition: str | None
    time_min: Annotated[int, Field(ge=1)]
    cpus_per_task: Annotated[int, Field(ge=1)]
    mem_gb: Annotated[float, Field(gt=0)] | None
    account: str | None
    qos: str | None
    at_once: Annotated[int, Field(ge=1)]
    signal_before_s: Annotated[int, Field(ge=1)]
    max_timeouts: Annotated[int, Field(ge=0)]
    setup: list[str]
    sbatch: dict[str, Any] | None
    returns: Returned


def work_in_slurm(jobs: Sequence[Job], settings: SlurmSettings, folder: Path, console: Console) -> None:
    """Submit the jobs that wait and are not in the queue already; return when all have left it.

    Raises:
        UserError: there is no SLURM here, no submitit, or SLURM refuses the jobs.
        Interrupted: a signal came; the jobs stay in the queue.
    """
    waiting = [job for job in jobs if job.standing is Standing.WAITING]
    if settings.signal_before_s >= 60 * settings.time_min:
        raise UserError(
            f"hydra.launcher.signal_before_s={settings.signal_before_s}: must be less than the time of a job, "
            f"hydra.launcher.time_min={settings.time_min} minutes"
        )
    if shutil.which("sbatch") is None:
        raise UserError("hydra/launcher=slurm: there is no sbatch here; hydra/launcher=pool uses this machine alone")
    # Read by submitit when it is imported, here and on the nodes.
    os.environ["SUBMITIT_PREEMPT_SIGNAL"] = SAVE_SIGNAL.name.removeprefix("SIG")
    try:
        import submitit
    except ImportError as error:
        raise UserError(f"hydra/launcher=slurm: {error}; pip install 'vae-lightning[slurm]'") from error
    listed = queue_or_error()
    ids = {job.number: found for job in waiting if (found := _recorded(job)) in listed}
    for alike in _by_resources([job for job in waiting if job.number not in ids]):
        try:
            ids |= _submitted(submitit.SlurmExecutor(folder / "slurm", settings.max_timeouts), alike, settings)
        except UserError as error:
            there = f"\n{len(ids)} others are in the queue; scancel {_arrays(ids)} would stop them" if ids else ""
            raise UserError(f"{error}{there}") from error
    where = f"SLURM, partition {settings.partition or 'by default'}"
    try:
        with SweepProgress(jobs, console, where) as board:
            _watch({ids[job.number]: job for job in waiting}, board)
    except KeyboardInterrupt as stopped:
        stay = "the jobs stay in SLURM's queue, and the same command watches them again"
        raise Interrupted(signal.SIGINT, f"{stay}; scancel {_arrays(ids)} would stop them") from stopped


def _arrays(ids: dict[int, str]) -> str:
    return " ".join(sorted({job_id.split("_")[0] for job_id in ids.values()}))


def _by_resources(jobs: Sequence[Job]) -> list[list[Job]]:
    """Return the jobs in groups of the same number of nodes and devices: an array has one kind of job."""
    groups: dict[tuple[Any, ...], list[Job]] = defaultdict(list)
    for job in jobs:
        trainer = job.config["trainer"]
        if trainer["devices"] == "auto":
            raise UserError("trainer.devices=auto: SLURM must be told how many; trainer.devices=1, 2, …")
        groups[trainer["num_nodes"], trainer["devices"], trainer["accelerator"]].append(job)
    return list(groups.values())


def _submitted(executor: "submitit.SlurmExecutor", jobs: Sequence[Job], settings: SlurmSettings) -> dict[int, str]:
    """Submit jobs as one array; return SLURM's id of each."""
    trainer = jobs[0].config["trainer"]
    chosen = {name: getattr(settings, name) for name in ("partition", "account", "qos")}
    executor.update_parameters(
        job_name=JOB_NAME,
        time=settings.time_min,
        nodes=trainer["num_nodes"],
        ntasks_per_node=trainer["devices"],
        cpus_per_task=settings.cpus_per_task,
        signal_delay_s=settings.signal_before_s,
        array_parallelism=settings.at_once,
        stderr_to_stdout=True,
        srun_args=["--kill-on-bad-exit=1"],  # else the ranks beside one that failed wait for it, with all GPUs held
        setup=[f"export SUBMITIT_PREEMPT_SIGNAL={os.environ['SUBMITIT_PREEMPT_SIGNAL']}", *settings.setup],
        **{name: value for name, value in chosen.items() if value is not None},
        **({"mem": f"{math.ceil(settings.mem_gb * 1024)}M"} if settings.mem_gb else {}),
        **({"gpus_per_node": trainer["devices"]} if trainer["accelerator"] == "cuda" else {}),
        additional_parameters=settings.sbatch,
    )
    with signals_held():  # a job that is queued is recorded too
        try:
            with executor.batch():
                submitted = [executor.submit(RunInSlurm(job.config, settings.cpus_per_task)) for job in jobs]
        except Exception as error:  # submitit's own, with sbatch's words in it
            raise UserError(f"hydra/launcher=slurm: {len(jobs)} jobs were not taken; {error}") from error
        ids = {}
        try:
            for job, found in zip(jobs, submitted, strict=True):
                job.log = found.paths.stdout
                ids[job.number] = found.job_id
                record = _record(job)
                record.parent.mkdir(parents=True, exist_ok=True)
                write_json(record, {"job": found.job_id, "log": str(found.paths.stdout)})
        except OSError:
            for found in submitted:
                found.cancel()
            raise
    return ids


def _record(job: Job) -> Path:
    folder = job.directory or Path()
    return folder.parent.parent / RECORDS / folder.parent.name / f"{folder.name}.json"


def _recorded(job: Job) -> str | None:
    """Return the SLURM job that an earlier sweep submitted for a run."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        found = json.loads(_record(job).read_text(encoding="utf-8"))
        job.log = Path(found["log"])
        return str(found["job"])
    return None


def _watch(jobs: dict[str, Job], board: SweepProgress) -> None:
    """Follow jobs by their ids until the last has left the queue."""
    gone: dict[str, float] = {}
    while jobs:
        listed = queue()
        for job_id, job in list(jobs.items()) if listed is not None else []:
            state = listed.get(job_id) if listed else None
            if state is not None:
                gone.pop(job_id, None)
                _follow(job, state, board)
            elif job.finds_results():
                _conclude(jobs.pop(job_id), Standing.DONE, "", board)
            elif time.monotonic() - gone.setdefault(job_id, time.monotonic()) > SETTLED_S:
                _conclude(jobs.pop(job_id), Standing.FAILED, _why(job_id, job), board)
        board.look()
        time.sleep(LOOK_S)


def _follow(job: Job, state: str, board: SweepProgress) -> None:
    standing = Standing.WAITING if IN_QUEUE.search(state) else Standing.RUNNING
    if standing is job.standing:
        return
    if standing is Standing.RUNNING:
        job.begin()
    job.standing = standing
    job.reason = "queued again" if standing is Standing.WAITING else ""
    board.tell(job)


def _conclude(job: Job, standing: Standing, reason: str, board: SweepProgress) -> None:
    job.conclude(standing, reason)
    if standing is Standing.FAILED:
        job.note_failure()
    board.tell(job)


def _why(job_id: str, job: Job) -> str:
    """Say why a job has left the queue without results."""
    own = job.own_reason() or next(reversed(job.last_lines()), "").strip()
    return f"{account(job_id)}; {own}" if own else account(job_id)
