"""A job of a sweep: its run, its status, its results, and a report of those that failed."""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vae_lightning.errors import Code, UserError
from vae_lightning.runs import directory
from vae_lightning.runs.curves import read_curves
from vae_lightning.runs.lock import is_locked
from vae_lightning.runs.run_config import RunConfig
from vae_lightning.runs.status import RunStatus
from vae_lightning.sweeps.outcome import outcome_path

Returned = Literal["val/elbo", "val/distortion", "val/kl", "val/active_units"] | None
"""A curve of the validation part whose last value a job returns to the sweeper; None: all its results."""


@dataclass
class Job:
    """One run of a sweep. Times are those of the clock of whoever works on it."""

    number: int
    overrides: tuple[str, ...]
    config: RunConfig | None
    """The checked config; None where it was refused."""
    log: Path
    """Where its output goes."""
    status: RunStatus = RunStatus.WAITING
    note: str = ""
    """What a person should know beside the status: why it failed, that it was finished before, and the like."""
    same_as: int | None = None
    """The number of an earlier job that is the same run; this one is never begun then."""
    attempts: int = 0
    began: float = 0.0
    seconds: float = 0.0
    """How long the last attempt took, once it is over."""
    results: dict[str, Any] = field(default_factory=dict)
    replaces: int | None = None
    """The inode of the directory of an earlier run that this one replaces (rerun=true); None where there is none."""
    outcome: Path = field(init=False)
    """Where its process records how it ended."""

    def __post_init__(self) -> None:
        self.outcome = outcome_path(self.log)

    @property
    def directory(self) -> Path | None:
        return self.config.directory if self.config else None

    @property
    def run(self) -> RunConfig:
        """The config of a job that was not refused."""
        if self.config is None:
            raise ValueError(f"job {self.number} was refused")
        return self.config

    @property
    def n_devices(self) -> int | None:
        """The number of devices it needs on a machine; None: all of them."""
        devices = self.run.trainer["devices"]
        return None if devices == "auto" else int(devices)

    @property
    def name(self) -> str:
        """The name of its run for a person; of a refused config, what was typed."""
        return self.directory.name if self.directory else " ".join(self.overrides)

    @property
    def waits(self) -> bool:
        """Whether somebody has to begin it."""
        return self.status is RunStatus.WAITING and self.same_as is None

    def begin(self, now: float) -> None:
        self.status, self.note, self.began = RunStatus.RUNNING, "", now
        self.attempts += 1

    def end(self, status: RunStatus, note: str, now: float) -> None:
        """Take in how an attempt ended. A failure is noted in the run's directory, if no other process works there."""
        self.status, self.note = status, note
        self.seconds = now - self.began if self.began else 0.0
        if status is RunStatus.FAILED and self.directory and not is_locked(self.directory):
            directory.record_failure(self.directory, note, self.log)

    def read_results(self) -> bool:
        """Read the results in its run directory; return whether there are any."""
        with contextlib.suppress(UserError, OSError):
            self.results = (self.directory and directory.read_results(self.directory)) or {}
        return bool(self.results)

    @property
    def awaits_replacement(self) -> bool:
        """Whether its run directory still holds the earlier run that it is to replace."""
        return self.directory is not None and awaits_replacement(self.directory, self.replaces)

    def prepare_retry(self) -> None:
        """Let the next attempt go on where this one stopped, also if this one was to start afresh."""
        if not self.awaits_replacement:
            self.config = self.run.changed(rerun=False)

    def last_lines(self) -> list[str]:
        """Return the last six lines of its output that are not empty."""
        with contextlib.suppress(OSError):
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
            return [line.rstrip() for line in lines if line.strip()][-6:]
        return []


def inode_of_begun(folder: Path) -> int | None:
    """Return the inode of a run's directory, None where none was begun. rerun=true renames it and makes another one."""
    return folder.stat().st_ino if directory.begun(folder) else None


def awaits_replacement(folder: Path, replaces: int | None) -> bool:
    """Say whether a run directory is still the one with the inode ``replaces``, which rerun=true is to set aside."""
    return replaces is not None and inode_of_begun(folder) == replaces


def values_of_all(jobs: Sequence[Job], curve: Returned) -> list[Any]:
    """Return the value of each job, also where another one is the same run; None for one that failed."""
    found: dict[Path | None, Any] = {}
    for job in (job for job in jobs if job.results):
        lines = reversed(read_curves(job.run.directory)) if curve else []
        found[job.directory] = next(line[curve] for line in lines if curve in line) if curve else job.results
    return [found.get(job.directory) for job in jobs]


def failures(jobs: Iterable[Job]) -> list[Job]:
    return [job for job in jobs if job.status is RunStatus.FAILED and job.same_as is None]


def failure_report(jobs: Sequence[Job]) -> str:
    """Return which jobs failed, why, and the last lines of their logs."""
    failed, again = failures(jobs), "the same command (without rerun=true) runs only what is not finished"
    parts = [f"{len(failed)} of {len(jobs)} jobs failed; {again}:"]
    for job in failed:
        parts.append(f"FAILED {job.number} {job.name}: {job.note}")
        if lines := job.last_lines():
            parts += [f"  {job.log}", *(f"  | {line}" for line in lines)]
    return "\n".join(parts)


def failed_jobs(jobs: Sequence[Job]) -> UserError:
    """Return the error that tells which jobs failed; it is about their directories, or about refused overrides."""
    about = [job.directory or " ".join(job.overrides) for job in failures(jobs)]
    return UserError(failure_report(jobs), Code.FAILED, about)
