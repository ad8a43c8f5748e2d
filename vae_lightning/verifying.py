"""Proof that a config's runs can be killed: one run left alone and one killed many times are compared bitwise."""

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

import torch
from rich.console import Console

from vae_lightning.config import checked
from vae_lightning.errors import Code, UserError
from vae_lightning.runs import directory
from vae_lightning.runs.checkpoints import load_checkpoint
from vae_lightning.runs.comparison import run_differences
from vae_lightning.runs.curves import read_curves
from vae_lightning.runs.results import Results

POLL_S = 0.02


class Kill(NamedTuple):
    """How to kill a process, and when: seconds after a step is reached; of step 0, after the process is started."""

    number: signal.Signals
    step: int
    delay: float


class Attempt(NamedTuple):
    """What a process did until it ended, and after how many seconds its first new step was seen, or it ended."""

    seconds: float
    seconds_to_first_step: float
    exit_code: int
    output: str


def verify_resume(
    config: dict[str, Any], overrides: Sequence[str], kills: int, number: signal.Signals, seed: int, console: Console
) -> list[str]:
    """Train a config twice in processes of its own, once undisturbed and once with ``kills`` signals at random moments.

    Each time the same command starts it again. Return what differs between the two: nothing, if all is well.
    Raises UserError where the training itself fails, or ends before all the kills.
    """
    run = checked(config)
    chance = random.Random(seed)  # noqa: S311 (moments to kill at, no secrets)
    with tempfile.TemporaryDirectory() as name:
        alone, killed = (Path(name) / side / run.directory.relative_to(run.runs_dir) for side in ("alone", "killed"))
        console.print(f"{run.identity.title}\nundisturbed …")
        undisturbed = _attempt(_command(overrides, Path(name) / "alone"), alone, None)
        _check(undisturbed)
        steps = (directory.read_results(alone) or Results())["steps"]
        console.print(f"undisturbed: {steps} steps, {undisturbed.seconds:.1f} s")
        command = _command(overrides, Path(name) / "killed")
        for index in range(1, kills + 1):
            if index % 5 == 0:  # while the process is still starting
                kill = Kill(number, 0, chance.uniform(0, undisturbed.seconds_to_first_step))
            else:  # each in its share of the run, so that all of them fall into it, however fast the machine is now
                step = int(steps * (index - chance.random()) / (kills + 1))
                kill = Kill(number, step, chance.uniform(0, 0.5))
            attempt = _continued(command, killed, kill)
            if attempt.exit_code not in (-number, 128 + number):
                _check(attempt)
                message = f"the run ended before kill {index} of {kills}; ask for fewer kills, or for a longer run"
                raise UserError(message, Code.INVALID, ["--kills"])
            newest = directory.newest_checkpoint(killed)
            saved = load_checkpoint(newest)["global_step"] if newest else 0
            console.print(f"{number.name} {index} of {kills} after {attempt.seconds:.1f} s; saved up to step {saved}")
        _check(_continued(command, killed, None))
        return run_differences(killed, alone)


def _command(overrides: Sequence[str], runs_dir: Path) -> list[str]:
    return [str(Path(sys.executable).with_name("vae-train")), *overrides, f"runs_dir={runs_dir}"]


def _attempt(command: list[str], folder: Path, kill: Kill | None) -> Attempt:
    """Start a command and wait for its end; with ``kill`` a signal ends it at that moment."""
    started, began = time.monotonic(), _steps(folder)
    reached = to_first_step = None
    # The number of threads changes the last bits; left to itself, each process would measure which is best.
    environment = {"OMP_NUM_THREADS": str(torch.get_num_threads()), **os.environ}
    with tempfile.TemporaryFile("w+") as output:
        # A group of its own, so that the processes of other ranks are killed with the first, as a machine would.
        process = subprocess.Popen(  # noqa: S603
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            while process.poll() is None:
                now, steps = time.monotonic() - started, _steps(folder)
                if to_first_step is None and steps > began:
                    to_first_step = now
                if kill:
                    if reached is None and (steps if kill.step else now) >= kill.step:
                        reached = now
                    if reached is not None and now - reached >= kill.delay:
                        os.killpg(process.pid, kill.number)
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


def _continued(command: list[str], folder: Path, kill: Kill | None) -> Attempt:
    """Make an attempt, and check that it continues from the checkpoint that is there, once it trains."""
    newest = directory.newest_checkpoint(folder)
    attempt = _attempt(command, folder, kill)
    if newest and "epoch " in attempt.output and "continuing after step" not in attempt.output:
        message = f"the run started afresh instead of continuing from {newest.name}:\n{attempt.output}"
        raise UserError(message, Code.NOT_SAME, [newest])
    return attempt


def _steps(folder: Path) -> int:
    """Return how far a run has come, by its checkpoints and its curves."""
    newest = directory.newest_checkpoint(folder)
    saved = int(newest.stem.removeprefix("step")) if newest else 0
    return max([saved, *(int(line["step"]) for line in read_curves(folder)[-1:])])


def _check(attempt: Attempt) -> None:
    if attempt.exit_code != 0:
        raise UserError(f"the training failed:\n{attempt.output}", Code.FAILED)
