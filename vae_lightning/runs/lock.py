"""A run directory belongs to one process at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from vae_lightning.errors import Code, UserError
from vae_lightning.runs import directory
from vae_lightning.runs.run_config import RunConfig
from vae_lightning.runs.saved_config import check_unchanged

LOCK = ".lock"
"""Stays in the directory: removing it could let two processes lock two files of that name."""
PATIENCE_S = 1.0
"""A process that asks whether a run is locked holds its lock for an instant; the next owner waits that long."""


@contextmanager
def locked_run(config: RunConfig, tell: Callable[[str], None], patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Own a run directory, made if need be, until the block or the process ends; write the config into it.

    With ``rerun`` what is there is kept aside first. An error that ends the block is noted in the directory. Another
    owner, who may be about to stop, is waited for as long as ``patience_s``.

    Raises UserError where another process owns it, it was begun with another config, or it cannot be written.
    """
    folder = config.directory
    with _locked(folder, patience_s):
        starts_over = config.rerun and directory.begun(folder)
        if starts_over:
            tell(f"rerun: the earlier run is kept as {directory.set_aside(folder)}")
        else:
            check_unchanged(folder, config, with_curves=directory.newest_checkpoint(folder) is not None)
            directory.remove_leftovers(folder)
            directory.write_config(folder, config.plain())
            with _failure_noted(folder):
                yield
    if starts_over:
        with locked_run(config, tell, patience_s):  # a new directory, and a new lock in it
            yield


def is_locked(folder: Path) -> bool:
    """Say whether a process owns a run directory now."""
    try:
        if not (folder / LOCK).exists():
            return False
        with FileLock(folder / LOCK, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # a directory of others, in which nothing can be locked
        return False


@contextmanager
def _failure_noted(folder: Path) -> Iterator[None]:
    (folder / directory.FAILURE).unlink(missing_ok=True)
    try:
        yield
    except Exception as error:
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        directory.record_failure(folder, reason)
        raise


@contextmanager
def _locked(folder: Path, patience_s: float) -> Iterator[None]:
    lock = FileLock(folder / LOCK, timeout=patience_s)
    try:
        directory.make_folders(folder)
        lock.acquire()
    except Timeout as error:
        reason = f"{folder}: another process is training this run; once it is done, the same command shows the results"
        raise UserError(reason, Code.LOCKED, [folder]) from error
    except OSError as error:
        raise directory.cannot_write(folder, error) from error
    try:
        yield
    finally:
        lock.release()
