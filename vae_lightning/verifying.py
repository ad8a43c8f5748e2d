"""A config -> the proof that its runs can be killed: one left alone, one killed again and again, compared bitwise."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from vae_lightning.config import checked
from vae_lightning.errors import UserError
from vae_lightning.runs import directory
from vae_lightning.runs.checkpoints import load_checkpoint
from vae_lightning.runs.comparison import run_differences
from vae_lightning.runs.curves import FILE_NAME
from vae_lightning.runs.identity import identify

POLL_S = 0.02
BEFORE_IT_TRAINS = 5
"""Every so manieth kill falls into the time in which a process starts."""


class Attempt(NamedTuple):
    """What a process did until it ended."""

    seconds: float
    seconds_to_first_step: float
    """Until anything of its own was written; all its seconds where nothing was."""
    exit_code: int
    output: str


def verify_resume(
    config: dict[str, Any], overrides: Sequence[str], kills: int, number: signal.Signals, seed: int, console: Console
) -> list[str]:
    """Train a config twice in processes of its own, once undisturbed and once with ``kills`` signals at random moments.

    Each time the same command starts it again. Returns what differs between the two: nothing, if all is well.

    Raises:
        UserError: the training itself fails, or ends before it could be killed as often.
    """
    identity = identify(checked(config))
    chance = random.Random(seed)  # noqa: S311 (moments to kill at, no secrets)
    with tempfile.TemporaryDirectory() as name:
        alone, killed = (
            Path(name) / side / identity.directory.relative_to(config["runs_dir"]) for side in ("alone", "killed")
        )
        console.print(f"{identity.title}\nundisturbed …")
        undisturbed = _attempt(_command(overrides, Path(name) / "alone"), alone, None)
        _check(undisturbed)
        trained = undisturbed.seconds - undisturbed.seconds_to_first_step
        console.print(f"undisturbed: {undisturbed.seconds:.1f} s, of which {trained:.1f} s from the first step on")
        command = _command(overrides, Path(name) / "killed")
        for index in range(1, kills + 1):
            at_start = index % BEFORE_IT_TRAINS == 0
            # Together less than half of what the training takes, so that the run outlives them.
            delay = chance.uniform(0, undisturbed.seconds_to_first_step if at_start else 0.8 * trained / kills)
            attempt = _attempt(command, killed, (number, delay, at_start))
            if attempt.exit_code not in (-number, 128 + number):
                _check(attempt)
                raise UserError(f"the run was over before kill {index} of {kills}; ask for fewer, or for a longer run")
            newest = directory.newest_checkpoint(killed)
            step = load_checkpoint(newest)["global_step"] if newest else 0
            console.print(f"{number.name} {index} of {kills} after {attempt.seconds:.1f} s; saved up to step {step}")
        _check(_attempt(command, killed, None))
        return run_differences(killed, alone)


def _command(overrides: Sequence[str], runs_dir: Path) -> list[str]:
    return [str(Path(sys.executable).with_name("vae-train")), *overrides, f"runs_dir={runs_dir}"]


def _attempt(command: list[str], folder: Path, kill: tuple[signal.Signals, float, bool] | None) -> Attempt:
    """Start a command and wait for its end; with ``kill`` a signal ends it, so long after its start or first step."""
    before = _trace(folder)
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        # A group of its own, so that the processes of other ranks are killed with the first, as a machine would.
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)  # noqa: S603
        try:
            to_first_step = None
            while process.poll() is None:
                now = time.monotonic() - started
                if to_first_step is None and _trace(folder) != before:
                    to_first_step = now
                if kill:
                    number, delay, at_start = kill
                    since = now if at_start else now - to_first_step if to_first_step is not None else -1.0
                    if since >= delay:
                        os.killpg(process.pid, number)
                        process.wait()
                        break
                time.sleep(POLL_S)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        seconds = time.monotonic() - started
        output.seek(0)
        return Attempt(seconds, to_first_step or seconds, process.returncode, output.read())


def _trace(folder: Path) -> object:
    """Return something that changes when a run writes its curves or a checkpoint."""
    curves = folder / FILE_NAME
    return curves.stat().st_size if curves.exists() else None, directory.newest_checkpoint(folder)


def _check(attempt: Attempt) -> None:
    if attempt.exit_code != 0:
        raise UserError(f"the training failed:\n{attempt.output}")
