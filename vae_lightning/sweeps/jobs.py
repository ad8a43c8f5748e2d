"""The jobs of a sweep: what each is, what of it is done already, and how it stands."""

import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vae_lightning.composing import resolved
from vae_lightning.config import checked
from vae_lightning.errors import UserError
from vae_lightning.runs import directory
from vae_lightning.runs.curves import read_curves
from vae_lightning.runs.identity import identify
from vae_lightning.runs.lock import is_locked
from vae_lightning.runs.saved_config import check_unchanged

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from omegaconf import DictConfig

Config = dict[str, Any]
Returned = Literal["val/elbo", "val/distortion", "val/kl", "val/active_units"] | None
"""A curve of the validation part whose last value a job returns to the sweeper; None: all its results."""
LAST_LINES = 6
"""Of a failed job's log, shown at the end."""


class Standing(StrEnum):
    """How a job of a sweep stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FINISHED_BEFORE = "finished before"
    SAME = "the same run"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass
class Job:
    """One run of a sweep."""

    number: int
    overrides: tuple[str, ...]
    config: Config
    """Checked; empty where it was refused."""
    log: Path
    """Where its output goes."""
    standing: Standing = Standing.WAITING
    reason: str = ""
    """Why it failed, or as which job it is the same run."""
    attempts: int = 0
    began: float = 0.0
    seconds: float = 0.0
    """How long the last attempt took, once it is over."""
    results: dict[str, Any] = field(default_factory=dict)
    planned_at: float = field(default_factory=time.time)

    @property
    def directory(self) -> Path | None:
        return Path(self.config["run"]["directory"]) if self.config else None

    @property
    def name(self) -> str:
        """What tells a person which run it is."""
        return self.directory.name if self.directory else " ".join(self.overrides)

    @property
    def n_devices(self) -> int | None:
        """How many devices it asks for on a machine; None: all."""
        devices = self.config["trainer"]["devices"]
        return None if devices == "auto" else int(devices)

    def begin(self) -> None:
        self.standing, self.began = Standing.RUNNING, time.monotonic()
        self.attempts += 1

    def conclude(self, standing: Standing, reason: str = "") -> None:
        self.standing, self.reason = standing, reason
        self.seconds = time.monotonic() - self.began if self.began else 0.0

    def finds_results(self) -> bool:
        """Take in the results that it was to produce; those of an earlier run, which it was to replace, are none."""
        with contextlib.suppress(UserError, OSError):
            if self.directory and self._is_new(self.directory / directory.RESULTS):
                self.results = directory.read_results(self.directory) or {}
        return bool(self.results)

    def value(self, curve: Returned) -> Any:
        """Return its results, or the last value of a curve."""
        if curve is None or self.directory is None:
            return self.results
        return next(line[curve] for line in reversed(read_curves(self.directory)) if curve in line)

    def go_on(self) -> None:
        """Let the next attempt go on where this one stopped, also if the first was to start afresh."""
        if self.directory and self._is_new(self.directory / directory.CONFIG):
            self.config = {**self.config, "rerun": False}
        self.reason = ""

    def _is_new(self, path: Path) -> bool:
        """Say whether a file was written for this job, as far as that matters."""
        return path.exists() and (not self.config["rerun"] or path.stat().st_mtime >= self.planned_at)

    def own_reason(self) -> str | None:
        """Return what the run itself said of why its last attempt failed."""
        with contextlib.suppress(UserError, OSError):
            if self.directory and (self.directory / directory.FAILURE).exists():
                written = (self.directory / directory.FAILURE).stat().st_mtime
                began = time.time() - (time.monotonic() - self.began) - 1 if self.began else self.planned_at
                if written >= began:
                    return str((directory.read_failure(self.directory) or {}).get("reason", "")) or None
        return None

    def note_failure(self) -> None:
        """Note in the run's directory why it failed, unless another process works there."""
        if self.directory and not is_locked(self.directory):
            directory.record_failure(self.directory, self.reason, self.log)

    def last_lines(self) -> list[str]:
        """Return the end of its output, without the lines that say nothing."""
        with contextlib.suppress(OSError):
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
            return [line.rstrip() for line in lines if line.strip()][-LAST_LINES:]
        return []


def planned(
    loader: "ConfigLoader", sweep: "DictConfig", job_overrides: Sequence[Sequence[str]], first_number: int, logs: Path
) -> list[Job]:
    """Return the jobs that a sweeper asks for; those that are finished or refused already stand so.

    Args:
        loader: Hydra's, which composes the config of each.
        sweep: the sweep's own config.
        job_overrides: of each job.
        first_number: of the first of them.
        logs: the folder for their outputs.
    """
    jobs: list[Job] = []
    seen: dict[str, int] = {}
    for number, overrides in enumerate(job_overrides, first_number):
        config = resolved(loader.load_sweep_config(sweep, list(overrides)), derive=False)
        job = _planned(number, tuple(overrides), config, sweep.hydra.sweep.dir, logs)
        same = seen.setdefault(str(job.directory or job.name), number)
        if same != number:
            job.conclude(Standing.SAME, f"as job {same}")
        jobs.append(job)
    return jobs


def _planned(number: int, overrides: tuple[str, ...], config: Config, sweep_folder: str, logs: Path) -> Job:
    try:
        config = with_group(checked(config).plain(), sweep_folder)
    except UserError as error:
        return Job(number, overrides, {}, logs / f"{number}.log", Standing.FAILED, str(error))
    identity = identify(config)
    folder = identity.directory
    job = Job(number, overrides, {**config, "run": identity.derived()}, logs / f"{number}-{folder.name}.log")
    try:
        if not config["rerun"] and (results := directory.read_results(folder)):
            check_unchanged(folder, checked(job.config))
            job.standing, job.results = Standing.FINISHED_BEFORE, results
    except (UserError, OSError) as error:
        job.conclude(Standing.FAILED, str(error))
    return job


def with_group(config: Config, sweep_folder: str) -> Config:
    """Return the checked config of a job; without a study or a group of its own it is grouped by its sweep in W&B."""
    if config["study"]["name"] != "default" or config["wandb"]["group"] is not None:
        return config
    return {**config, "wandb": {**config["wandb"], "group": f"sweep {Path(sweep_folder).name}"}}


def check_can_return(jobs: Iterable[Job], curve: Returned) -> None:
    """Check that the jobs have what they shall return.

    Raises:
        UserError: there is no validation part; nothing is to be chosen by the test images.
    """
    if curve and any(job.config and not job.config["data"].get("validation_size") for job in jobs):
        raise UserError(f"hydra.launcher.returns={curve}: needs images held out, such as data.validation_size=5000")


def values_of_all(jobs: Sequence[Job], curve: Returned) -> list[Any]:
    """Return what each job tells the sweeper, also where another one is the same run; None of one that failed."""
    found = {str(job.directory): job.value(curve) for job in jobs if job.results}
    return [found.get(str(job.directory)) for job in jobs]


def failures(jobs: Iterable[Job]) -> list[Job]:
    return [job for job in jobs if job.standing is Standing.FAILED]


def failure_report(jobs: Sequence[Job]) -> str:
    """Return which jobs failed, why, and the last lines of what they said."""
    failed = failures(jobs)
    again = "the same command (without rerun=true) runs only what is not finished"
    parts = [f"{len(failed)} of {len(jobs)} jobs failed; {again}:"]
    for job in failed:
        parts.append(f"FAILED {job.number} {job.name}: {job.reason}")
        if lines := job.last_lines():
            parts += [f"  {job.log}", *(f"  | {line}" for line in lines)]
    return "\n".join(parts)
