"""The outcome of a job: a record that its process writes at its end, or a guess where it died without one."""

import contextlib
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from vae_lightning.errors import Code, Interrupted, UserError
from vae_lightning.files import write_json
from vae_lightning.runs.run_config import RunConfig
from vae_lightning.runs.status import RunStatus

Config = dict[str, Any]
LOST = 255
"""The exit code that a fork server which has died leaves to its processes."""


class Outcome(BaseModel):
    """How an attempt at a run ended."""

    model_config = ConfigDict(extra="forbid", frozen=True)
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
    """Return the recorded outcome of a process that has ended, or what its exit code and its log suggest.

    Args:
        path: where the record is.
        exit_code: of the process; where a signal ended it, negative (as in Python) or above 128 (as in a shell).
        last_line: of its log.
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
    """Record how the block, which trains a run, ends; one record, written atomically by the run's first process.

    Args:
        path: of the record; one of an earlier attempt is removed first.
        config: of the run.
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
    if isinstance(error, UserError):
        status = RunStatus.FAILED
        return Outcome(status=status, reason=f"{error}", exit_code=1, code=error.code, about=error.about)
    if isinstance(error, Interrupted):
        reason = signal.Signals(error.exit_code - 128).name
        return Outcome(status=RunStatus.INTERRUPTED, reason=reason, exit_code=error.exit_code)
    if isinstance(error, KeyboardInterrupt):
        number = signal.SIGINT
        return Outcome(status=RunStatus.INTERRUPTED, reason=number.name, exit_code=128 + number)
    return Outcome(status=RunStatus.FAILED, reason=f"{type(error).__name__}: {error}", exit_code=1)
