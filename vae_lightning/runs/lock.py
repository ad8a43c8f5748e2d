"""A run belongs to one process at a time, and to the config it was begun with."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vae_lightning.errors import Code, UserError
from vae_lightning.runs import directory
from vae_lightning.runs.identity import Config, canonical, identify, settings

LOCK = ".lock"
"""Stays in the directory: removing it could let two processes lock two files of that name."""


A_LOOK_S = 1.0
"""Whoever asks whether a run is locked holds its lock for a moment; an owner-to-be waits that long."""


@contextmanager
def locked_run(
    folder: Path, config: Config, tell: Callable[[str], None], patience_s: float = A_LOOK_S
) -> Iterator[None]:
    """Own a run directory, made if need be, until the block ends or the process does; the config is written into it.

    With ``rerun`` what is there is kept aside first. An error that ends the block is noted in the directory. Another
    owner, who may be about to stop, is waited for as long as ``patience_s``.

    Raises:
        UserError: another process owns it, it was begun with another config, or it cannot be written.
    """
    with _locked(folder, config, patience_s):
        starts_over = config["rerun"] and directory.begun(folder)
        if starts_over:
            tell(f"rerun: the earlier run is kept as {directory.set_aside(folder)}")
        else:
            check_unchanged(folder, config, with_curves=directory.newest_checkpoint(folder) is not None)
            directory.remove_leftovers(folder)
            directory.write_config(folder, config)
            with _failure_noted(folder):
                yield
    if starts_over:
        with _locked(folder, config, patience_s):  # a new directory, and a new lock in it
            directory.write_config(folder, config)
            with _failure_noted(folder):
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
def _locked(folder: Path, config: Config, patience_s: float) -> Iterator[None]:
    lock = FileLock(folder / LOCK, timeout=patience_s)
    try:
        directory.make_folders(folder)
        lock.acquire()
    except Timeout as error:
        raise UserError(
            f"{folder}: another process is training this run; this one leaves it alone. "
            "When that one is done, the same command shows the results.",
            Code.LOCKED,
            [folder],
        ) from error
    except OSError as error:
        raise directory.cannot_write(folder, config, error) from error
    try:
        yield
    finally:
        lock.release()


def check_unchanged(folder: Path, config: Config, with_curves: bool = False) -> None:
    """Check that the config saved in a run directory is the one that the directory's fingerprint is of.

    ``with_curves`` as well that the curves that are there can be gone on with.

    Raises:
        UserError: it was edited by hand, or another version of this package wrote it; with each difference.
    """
    if not (folder / directory.CONFIG).exists():
        return
    saved = directory.read_config(folder)
    if found := differences(facts(saved, with_curves), facts(config, with_curves)):
        raise UserError(
            f"{folder / directory.CONFIG}: is not what this run is by its fingerprint:\n"
            + "\n".join(f"  {line}" for line in found)
            + "\nPut back what was there, or train afresh by rerun=true, which keeps what is there aside.",
            Code.CHANGED,
            [folder / directory.CONFIG, *(line.partition(":")[0] for line in found)],
        )


def check_fingerprint(folder: Path, saved: Config) -> None:
    """Check that a saved config is still what its own fingerprint is of. Raises UserError where it was edited."""
    then, now = (saved.get("run") or {}).get("fingerprint"), identify(saved).fingerprint
    if then == now:
        return
    if then is None:
        raise UserError(
            f"{folder / directory.CONFIG}: has no fingerprint; a version before 0.2 wrote it",
            Code.CHANGED,
            [folder / directory.CONFIG],
        )
    results = directory.read_results(folder)
    as_trained = {**facts(saved), **results["settings"]} if results else facts(saved)
    found = differences(facts(saved), as_trained)
    raise UserError(
        f"{folder / directory.CONFIG}: was edited; it carries the fingerprint {then}, and its values make {now}"
        + "".join(f"\n  {line}" for line in found)
        + "\nPut back what was there.",
        Code.CHANGED,
        [folder / directory.CONFIG, *(line.partition(":")[0] for line in found)],
    )


def differences(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """Return a line for each fact about a run that is not the same in two places."""
    return [
        f"{key}: {there.get(key, 'missing')} there, {here.get(key, 'missing')} here"
        for key in sorted({*there, *here})
        if canonical(there.get(key)) != canonical(here.get(key))
    ]


def facts(config: Config, with_curves: bool = False) -> dict[str, Any]:
    """Return what decides the result of a run, by full names: its settings, and the version of this package.

    ``with_curves`` also what decides which steps the curves have.
    """
    run, trainer = (part if isinstance(part := config.get(key), dict) else {} for key in ("run", "trainer"))
    curves = {"trainer.log_every_n_steps": trainer.get("log_every_n_steps")} if with_curves else {}
    return {"version": run.get("version"), **settings(config), **curves}
