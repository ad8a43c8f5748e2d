"""A machine without processes: jobs that follow a script, and a clock that moves only while the pool waits."""

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compose_once import compose_once

from vae_lightning.config import checked
from vae_lightning.errors import Code
from vae_lightning.runs.directory import RESULTS
from vae_lightning.runs.status import RunStatus
from vae_lightning.sweeps.jobs import Job
from vae_lightning.sweeps.outcome import Outcome
from vae_lightning.sweeps.process import Task

RESULTS_OF_A_RUN = {
    "run": "a",
    "study": "default",
    "kl_weight": 1.0,
    "latent_dim": 1,
    "seed": 0,
    "test/elbo": -1.0,
    "test/kl": 0.5,
    "test/distortion": 0.5,
    "test/active_units": 1,
    "test/kl_per_unit": [0.5],
    "epochs": 3,
    "seconds": 1.0,
}
FINISHED = Outcome(status=RunStatus.FINISHED)
SAVED = Outcome(status=RunStatus.INTERRUPTED, reason="SIGTERM", exit_code=128 + signal.SIGTERM)
REFUSED = Outcome(status=RunStatus.FAILED, reason="its own mistake", exit_code=1, code=Code.NOT_FINITE, about=("x",))


def job(number: int, folder: Path, devices: int | str = 1, **changed: Any) -> Job:
    """Make a job with a run directory of its own, without composing a config."""
    chosen = checked(compose_once("data=digits"))
    trainer = {**chosen.trainer, "devices": devices, "num_nodes": changed.pop("num_nodes", 1)}
    own = {"runs_dir": str(folder), "seed": number, "rerun": changed.pop("rerun", False)}
    config = chosen.changed(trainer=trainer, **own)
    config.directory.mkdir(parents=True, exist_ok=True)
    return Job(number, (f"seed={number}",), config, folder / f"{number}.log", **changed)


def write_results(folder: Path) -> None:
    (folder / RESULTS).write_text(json.dumps(RESULTS_OF_A_RUN))


@dataclass
class Attempt:
    """What the process of a job does at one attempt."""

    seconds: float = 10.0
    """How long it takes, left alone."""
    exit_code: int = 0
    outcome: Outcome | None = FINISHED
    """What it records at its end; None: nothing."""
    saves: float | None = 1.0
    """How many seconds after SIGTERM it has saved and ended; None: it does not listen."""
    does: Callable[[Path], None] = write_results
    """What happens in its run directory before it ends by itself."""


@dataclass
class FakeProcess:
    """A process that follows an attempt."""

    machine: "Machine"
    task: Task
    attempt: Attempt
    ends: float
    code: int | None = None
    pid: None = None
    sentinel: int = 0
    was_killed: bool = False
    asked_at: float | None = None

    @property
    def exitcode(self) -> int | None:
        if self.code is None and self.machine.now >= self.ends:
            self._end(self.attempt.exit_code, self.attempt.outcome)
        return self.code

    def _end(self, code: int, outcome: Outcome | None) -> None:
        self.code = code
        if outcome is FINISHED:
            self.attempt.does(self.task.config.directory)
        if outcome:
            self.task.outcome.write_text(outcome.model_dump_json())

    def terminate(self) -> None:
        if self.asked_at is None:
            self.asked_at = self.machine.now
            if self.attempt.saves is not None:
                self.ends = min(self.ends, self.machine.now + self.attempt.saves)
                if self.ends == self.machine.now + self.attempt.saves:
                    self.attempt = Attempt(exit_code=SAVED.exit_code, outcome=SAVED)

    def kill(self) -> None:
        if self.code is None:
            self.was_killed = True
            self._end(-signal.SIGKILL, None)

    def join(self, timeout: float | None = None) -> None:
        self.machine.now += timeout or 0.0

    def close(self) -> None:
        assert self.code is not None


@dataclass
class Machine:
    """Starts the processes of jobs by their scripts: an attempt after another, the last one again and again."""

    scripts: dict[int, list[Attempt]] = field(default_factory=dict)
    at: dict[float, Callable[[], None]] = field(default_factory=dict)
    """What happens to the pool from outside, at which time."""
    refuses_to_start: frozenset[int] = frozenset()
    now: float = 1000.0
    started: list[FakeProcess] = field(default_factory=list)
    most_at_once: int = 0

    def clock(self) -> float:
        return self.now

    def start(self, task: Task) -> FakeProcess:
        number = int(task.log.stem)
        if number in self.refuses_to_start:
            raise EOFError
        before = sum(int(process.task.log.stem) == number for process in self.started)
        script = self.scripts.get(number, [Attempt()])
        attempt = script[min(before, len(script) - 1)]
        self.started.append(FakeProcess(self, task, attempt, self.now + attempt.seconds))
        self.most_at_once = max(self.most_at_once, sum(process.code is None for process in self.started))
        return self.started[-1]

    def wait(self, sentinels: list[int], seconds: float) -> None:
        self.now += seconds
        for due in sorted(time for time in self.at if time <= self.now):
            self.at.pop(due)()
