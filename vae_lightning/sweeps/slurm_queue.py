"""The queue of SLURM, by commands that need no accounting, which not every cluster has."""

import re
import subprocess
import time

from vae_lightning.errors import Code, UserError

TRIES = 4
PAUSE_S = 2.0


def queue_or_error() -> dict[str, str]:
    """Return the queue; a busy SLURM is asked several times. Raises UserError where it does not answer."""
    for attempt in range(TRIES):
        if (found := queue()) is not None:
            return found
        time.sleep(PAUSE_S * attempt)
    raise UserError(
        "hydra/launcher=slurm: squeue does not answer, so it is not known which jobs are in the queue already",
        Code.UNAVAILABLE,
        ("hydra/launcher", "squeue"),
    )


def queue() -> dict[str, str] | None:
    """Return the state of each of this user's jobs, by id; None where SLURM does not answer."""
    answer = _answer("squeue", "--me", "--array", "--noheader", "--format=%i|%T")
    if answer is None:
        return None
    return dict(line.strip().split("|", 1) for line in answer.splitlines() if "|" in line)


def _answer(*command: str) -> str | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None


def account(job_id: str) -> str:
    """Return the words of SLURM on how a job ended, as long as it remembers."""
    answer = _answer("scontrol", "show", "job", "--oneliner", job_id) or ""
    state = re.search(r"JobState=(\S+)", answer)
    code = re.search(r"ExitCode=(\S+)", answer)
    return f"SLURM says {state[1]}, exit code {code[1] if code else '?'}" if state else "it has left SLURM's queue"
