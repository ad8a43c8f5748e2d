"""The jobs of a sweep in the queue of SLURM: followed until the last has left it, and judged by their outcomes."""

import re
import time
from collections.abc import Callable

from vae_lightning.runs.status import RunStatus
from vae_lightning.sweeps.jobs import Job
from vae_lightning.sweeps.outcome import read_outcome
from vae_lightning.sweeps.progress import SweepProgress
from vae_lightning.sweeps.slurm_queue import account, queue

POLL_S = 2.0
SETTLED_S = 20.0
"""How long after a job has left the queue its files may take to appear: shared folders are slow."""
IN_QUEUE = re.compile(r"PENDING|CONFIGURING|REQUEUE|SUSPENDED|RESV|SPECIAL_EXIT")


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
    return f"{account(job_id)}; {own}" if own else account(job_id)
