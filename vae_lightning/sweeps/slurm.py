"""Beyond one machine: submitit hands each job to SLURM, and this process watches the queue and the runs' own files."""

import contextlib
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console

from vae_lightning.errors import Interrupted, UserError
from vae_lightning.files import write_json
from vae_lightning.runs.directory import CONFIG
from vae_lightning.sweeps.board import Board
from vae_lightning.sweeps.jobs import Job, Standing
from vae_lightning.sweeps.process import PATIENCE_S, signals_held

if TYPE_CHECKING:
    import submitit

SAVE_SIGNAL = signal.SIGUSR1
"""What SLURM sends before it takes a node back. Our runs save at it; submitit then queues the job again."""
LOOK_S = 2.0
TRIES = 4
TO_BE_ENDED_S = 120.0
SETTLED_S = 20.0
"""A job that has left the queue has so long to show its results: shared folders are slow."""
RECORDS = Path(".sweeps/slurm")
"""In ``runs_dir``: each run's job in SLURM, so that the same command finds it again instead of queueing it twice."""
JOB_NAME = "vae-train"
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
    sbatch: dict[str, Any]


class RunInSlurm:
    """What submitit calls on a node; it is pickled, and again when the job is queued again."""

    def __init__(self, config: dict[str, Any], threads: int) -> None:
        self.config = config
        self.threads = threads
        self.began = 0.0

    def __call__(self) -> None:
        """Train. Raises SystemExit with why it failed, after which submitit has no result to keep."""
        import torch

        from vae_lightning.training import train

        torch.set_num_threads(self.threads)
        self.began = time.time()
        try:
            train(self.config, patience_s=PATIENCE_S)
        except UserError as error:
            sys.exit(f"{error}")
        except Interrupted as stopped:
            if stopped.exit_code == 128 + SAVE_SIGNAL:
                signal.raise_signal(SAVE_SIGNAL)  # submitit's handler is back, and queues the job again
            # SIGTERM announces the end; SLURM alone knows whether for good. All is saved, so it is waited for.
            time.sleep(TO_BE_ENDED_S)
            raise

    def checkpoint(self) -> "submitit.helpers.DelayedSubmission":
        """Return what goes on later: the same, since the run finds its own checkpoints; afresh it begins once."""
        from submitit.helpers import DelayedSubmission

        config = Path(self.config["run"]["directory"]) / CONFIG
        if config.exists() and config.stat().st_mtime >= self.began:
            self.config = {**self.config, "rerun": False}
        return DelayedSubmission(self)


def work_in_slurm(jobs: Sequence[Job], settings: SlurmSettings, folder: Path, console: Console) -> None:
    """Submit the jobs that wait and are not in the queue already; return when all have left it.

    Raises:
        UserError: there is no SLURM here, no submitit, or SLURM refuses the jobs.
        Interrupted: a signal came; the jobs stay in the queue.
    """
    waiting = [job for job in jobs if job.standing is Standing.WAITING]
    if shutil.which("sbatch") is None:
        raise UserError("hydra/launcher=slurm: there is no sbatch here; hydra/launcher=pool uses this machine alone")
    # Read by submitit when it is imported, here and on the nodes.
    os.environ["SUBMITIT_PREEMPT_SIGNAL"] = SAVE_SIGNAL.name.removeprefix("SIG")
    try:
        import submitit
    except ImportError as error:
        raise UserError(f"hydra/launcher=slurm: {error}; pip install 'vae-lightning[slurm]'") from error
    queue = _queue_or_error()
    ids = {job.number: found for job in waiting if (found := _recorded(job)) in queue}
    for alike in _by_resources([job for job in waiting if job.number not in ids]):
        ids |= _submitted(submitit.SlurmExecutor(folder / "slurm", settings.max_timeouts), alike, settings)
    where = f"SLURM, partition {settings.partition or 'by default'}"
    with Board(jobs, console, where) as board:
        try:
            _watch({ids[job.number]: job for job in waiting}, board)
        except KeyboardInterrupt as stopped:
            names = " ".join(sorted({job_id.split("_")[0] for job_id in ids.values()}))
            console.print(f"the jobs stay in SLURM's queue; scancel {names} would stop them", highlight=False)
            raise Interrupted(signal.SIGINT) from stopped


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
            raise UserError(f"hydra/launcher=slurm: the jobs were not taken; {error}") from error
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


def _watch(jobs: dict[str, Job], board: Board) -> None:
    """Follow jobs by their ids until the last has left the queue."""
    gone: dict[str, float] = {}
    while jobs:
        queue = _queue()
        for job_id, job in list(jobs.items()) if queue is not None else []:
            state = queue.get(job_id) if queue else None
            if state is not None:
                gone.pop(job_id, None)
                _follow(job, state, board)
            elif job.finds_results():
                _conclude(jobs.pop(job_id), Standing.DONE, "", board)
            elif time.monotonic() - gone.setdefault(job_id, time.monotonic()) > SETTLED_S:
                _conclude(jobs.pop(job_id), Standing.FAILED, _why(job_id, job), board)
        board.look()
        time.sleep(LOOK_S)


def _follow(job: Job, state: str, board: Board) -> None:
    standing = Standing.WAITING if IN_QUEUE.search(state) else Standing.RUNNING
    if standing is job.standing:
        return
    if standing is Standing.RUNNING:
        job.begin()
    job.standing = standing
    job.reason = "queued again" if standing is Standing.WAITING else ""
    board.tell(job)


def _conclude(job: Job, standing: Standing, reason: str, board: Board) -> None:
    job.conclude(standing, reason)
    if standing is Standing.FAILED:
        job.note_failure()
    board.tell(job)


def _why(job_id: str, job: Job) -> str:
    """Say why a job has left the queue without results, by SLURM's own account as long as it has one."""
    told = _answer("scontrol", "show", "job", "--oneliner", job_id) or ""
    state = re.search(r"JobState=(\S+)", told)
    code = re.search(r"ExitCode=(\S+)", told)
    account = f"SLURM says {state[1]}, exit code {code[1] if code else '?'}" if state else "it has left SLURM's queue"
    own = job.own_reason() or next(reversed(job.last_lines()), "").strip()
    return f"{account}; {own}" if own else account


def _queue_or_error() -> dict[str, str]:
    """Return the queue, for which a busy SLURM is asked several times. Raises UserError where it does not answer."""
    for attempt in range(TRIES):
        if (queue := _queue()) is not None:
            return queue
        time.sleep(LOOK_S * attempt)
    raise UserError("hydra/launcher=slurm: squeue does not answer, so nobody knows which jobs are in the queue already")


def _queue() -> dict[str, str] | None:
    """Return the state of each of this user's jobs, by id; None where SLURM does not answer."""
    told = _answer("squeue", "--me", "--array", "--noheader", f"--name={JOB_NAME}", "--format=%i|%T")
    if told is None:
        return None
    return dict(line.strip().split("|", 1) for line in told.splitlines() if "|" in line)


def _answer(*command: str) -> str | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
