"""The jobs of a sweep in the queue of SLURM: followed until the last has left it, and judged by their outcomes."""

import re
import subprocess
import time
from collections.abc import Callable

from vae_lightning.errors import Code, UserError
from vae_lightning.runs.status import RunStatus
from vae_lightning.sweeps.jobs import Job
from vae_lightning.sweeps.outcome import read_outcome
from vae_lightning.sweeps.progress import SweepProgress

POLL_S = 2.0
TRIES = 4
SETTLED_S = 20.0
"""How long after a job has left the queue its files may take to appear: shared folders are slow."""
IN_QUEUE = re.compile(r"PENDING|CONFIGURING|REQUEUE|SUSPENDED|RESV|SPECIAL_EXIT")


# The commands need no accounting, which not every cluster has.


def _answer(*command: str) -> str | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None


def queue() -> dict[str, str] | None:
    """Return the state of each of this user's jobs, by id; None where SLURM does not answer."""
    answer = _answer("squeue", "--me", "--array", "--noheader", "--format=%i|%T")
    if answer is None:
        return None
    return dict(line.strip().split("|", 1) for line in answer.splitlines() if "|" in line)


def queue_or_error() -> dict[str, str]:
    """Return the queue; a busy SLURM is asked several times. Raises UserError where it does not answer."""
    for attempt in range(TRIES):
        if (found := queue()) is not None:
            return found
        time.sleep(POLL_S * attempt)
    message = "hydra/launcher=slurm: squeue does not answer, so it is not known which jobs are in the queue already"
    raise UserError(message, Code.UNAVAILABLE, ["hydra/launcher", "squeue"])


def _account(job_id: str) -> str:
    """Return the words of SLURM on how a job ended, as long as it remembers."""
    answer = _answer("scontrol", "show", "job", "--oneliner", job_id) or ""
    state, code = re.search(r"JobState=(\S+)", answer), re.search(r"ExitCode=(\S+)", answer)
    return f"SLURM says {state[1]}, exit code {code[1] if code else '?'}" if state else "it has left SLURM's queue"


def follow_queue(
    jobs: dict[str, Job],
    progress: SweepProgress,
    listed_jobs: Callable[[], dict[str, str] | None] = queue,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Follow jobs, by their SLURM ids, until the last has left the queue."""
    gone: dict[str, float] = {}
    while jobs:
        listed = listed_jobs()
        for job_id, job in list(jobs.items()) if listed is not None else []:
            state = listed.get(job_id) if listed else None
            if state is not None:
                gone.pop(job_id, None)
                _update(job, state, progress, clock())
            elif _has_ended(job_id, job, clock() - gone.setdefault(job_id, clock()) > SETTLED_S, clock()):
                del jobs[job_id]
                progress.status_changed(job)
        progress.update()
        sleep(POLL_S)


def _update(job: Job, state: str, progress: SweepProgress, now: float) -> None:
    status = RunStatus.WAITING if IN_QUEUE.search(state) else RunStatus.RUNNING
    if status is job.status:
        return
    if status is RunStatus.RUNNING:
        job.begin(now)
    else:
        job.status, job.note = status, "queued again"
    progress.status_changed(job)


def _has_ended(job_id: str, job: Job, settled: bool, now: float) -> bool:
    """Take in how a job that has left the queue ended; return False where its files may still have to appear."""
    outcome = read_outcome(job.outcome)
    may_have_results = outcome.status is RunStatus.FINISHED if outcome else not job.awaits_replacement
    finished = may_have_results and job.read_results()
    if not finished and not settled and (outcome is None or may_have_results):
        return False
    job.end(RunStatus.FINISHED if finished else RunStatus.FAILED, "" if finished else _reason(job_id, job), now)
    return True


def _reason(job_id: str, job: Job) -> str:
    """Return why a job has left the queue without results."""
    outcome = read_outcome(job.outcome)
    own = (outcome.reason if outcome else "") or next(reversed(job.last_lines()), "").strip()
    return "; ".join(filter(None, [_account(job_id), own]))
