"""The outcome of a job: a record that its process writes at its end, or a guess where it died without one."""

import contextlib
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ValidationError

from vae_lightning.errors import Code, Interrupted, UserError
from vae_lightning.files import write_json
from vae_lightning.runs.run_config import RunConfig
from vae_lightning.runs.status import RunStatus

LOST = 255
"""The exit code that a fork server which has died leaves to its processes."""


class Outcome(BaseModel, extra="forbid", frozen=True):
    """How an attempt at a run ended."""

    status: RunStatus
    reason: str = ""
    """Why it failed, or which signal stopped it."""
    exit_code: int = 0
    code: Code | None = None
    """The kind of fault, where it was a UserError."""
    about: tuple[str, ...] = ()
    """The keys and files that a UserError is about."""
    began_at: float = 0.0
    """When the attempt began, in seconds since the epoch."""
    run_directory: str = ""
    died: bool = False
    """Whether a signal killed the process before it could record anything."""


def outcome_path(log: Path) -> Path:
    """Return where a job with this log records its outcome."""
    return log.with_suffix(".outcome.json")


def read_outcome(path: Path) -> Outcome | None:
    """Return a recorded outcome; None where there is none."""
    with contextlib.suppress(OSError, ValidationError):
        return Outcome.model_validate_json(path.read_bytes())
    return None


def outcome_of(path: Path, exit_code: int, last_line: str) -> Outcome:
    """Return the recorded outcome of a process that has ended, or what its exit code and its log's last line suggest.

    The exit code of one that a signal ended is negative (as in Python) or above 128 (as in a shell).
    """
    if recorded := read_outcome(path):
        return recorded
    if exit_code == LOST:
        return Outcome(status=RunStatus.FAILED, reason="its exit code was lost", exit_code=LOST, died=True)
    with contextlib.suppress(ValueError):
        number = signal.Signals(-exit_code if exit_code < 0 else exit_code - 128)
        killed = number is signal.SIGKILL
        reason = f"killed by {number.name}" + ": by hand, or by the system for want of memory" * killed
        return Outcome(status=RunStatus.FAILED, reason=reason, exit_code=exit_code, died=True)
    return Outcome(status=RunStatus.FAILED, reason=last_line or f"exit code {exit_code}", exit_code=exit_code)


@contextlib.contextmanager
def outcome_recorded(path: Path, config: RunConfig) -> Iterator[None]:
    """Record how the block, which trains a run, ends: written atomically by the run's first process.

    A record of an earlier attempt is removed first.
    """
    from lightning.pytorch.utilities import rank_zero_only

    writes = rank_zero_only.rank == 0  # type: ignore[attr-defined]  # set by Lightning from the environment
    began_at, how = time.time(), Outcome(status=RunStatus.FINISHED)
    if writes:
        path.unlink(missing_ok=True)
    try:
        yield
    except BaseException as error:
        how = _outcome_by(error)
        raise
    finally:
        if writes:
            how = how.model_copy(update={"began_at": began_at, "run_directory": str(config.directory)})
            with contextlib.suppress(OSError):  # a full disk may be what ended it; then its log tells
                path.parent.mkdir(parents=True, exist_ok=True)
                write_json(path, json.loads(how.model_dump_json()))


def _outcome_by(error: BaseException) -> Outcome:
    failed = Outcome(status=RunStatus.FAILED, reason=f"{type(error).__name__}: {error}", exit_code=1)
    if isinstance(error, UserError):
        return failed.model_copy(update={"reason": f"{error}", "code": error.code, "about": error.about})
    if isinstance(error, Interrupted | KeyboardInterrupt):
        code = error.exit_code if isinstance(error, Interrupted) else 128 + signal.SIGINT
        return Outcome(status=RunStatus.INTERRUPTED, reason=signal.Signals(code - 128).name, exit_code=code)
    return failed
