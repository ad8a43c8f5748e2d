"""The status of a run, from nothing but what lies in its directory."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, FiniteFloat

from vae_lightning.errors import Code, UserError
from vae_lightning.runs import directory
from vae_lightning.runs.results import Results

Content = TypeVar("Content")
INSIDE_A_RUN = {"wandb", directory.CHECKPOINTS, directory.FIGURES}
"""Folders that are no runs: W&B writes a config.yaml of its own."""
SET_ASIDE = re.compile(r"\.\d{8}-\d{6}(\.\d+)?$")
"""The end of the name of a directory that rerun=true moved out of the way."""
VALID = "a run, a study or a whole runs_dir"
"""What a folder of runs may be."""


class RunStatus(StrEnum):
    """The status of a run, alone or as the job of a sweep."""

    WAITING = "waiting"
    """Planned by a sweep and not begun; a run that is found in a directory has been begun."""
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class FoundRun(NamedTuple):
    """A run directory and what it holds."""

    directory: Path
    status: RunStatus
    config: dict[str, Any]
    """Empty where the run is finished: its results have the settings too."""
    results: Results
    """Empty unless the run is finished."""
    reason: str = ""
    """Why it failed."""

    @property
    def name(self) -> str:
        return self.directory.name


class Found(NamedTuple):
    """The runs below some folders, and what else lies there."""

    runs: list[FoundRun]
    foreign: list[Path]
    """Directories with a results.json or a config.yaml that does not hold what a run of this project holds."""


class _Begun(BaseModel):
    """The keys that the saved config of every run of this project has; there are more in it."""

    class Run(BaseModel):
        directory: str

    run: Run
    kl_weight: FiniteFloat
    latent_dim: int
    seed: int


def find_runs(folders: list[Path]) -> Found:
    """Return the runs at or below some folders, by KL weight and name; links to directories are followed.

    A run is recognised by what its directory holds, so a moved or renamed one is still a run. Those that rerun=true
    set aside are left out. Raises UserError where one of the folders does not exist.
    """
    if missing := [folder for folder in folders if not folder.is_dir()]:
        lines = "\n".join(f"{folder}: not a directory; name {VALID}" for folder in missing)
        raise UserError(lines, Code.NOT_FOUND, missing)
    runs, foreign = [], []
    for place in sorted(set(_places(folders))):
        results = _readable(place, directory.read_results) or Results()
        config = {} if results else _readable(place, _config_of_a_run) or {}
        if not results and not config:
            foreign.append(place)
        elif not SET_ASIDE.search(place.name):
            runs.append(_found(place, config, results))
    return Found(sorted(runs, key=lambda run: (float((run.results or run.config)["kl_weight"]), run.name)), foreign)


def _places(folders: list[Path]) -> Iterator[Path]:
    """Return the directories with a config.yaml or a results.json of any project, each once."""
    seen: set[Path] = set()
    for folder in folders:
        for here, below, files in os.walk(folder, followlinks=True):
            place = Path(here).resolve()
            if place in seen:
                below.clear()
                continue
            seen.add(place)
            below[:] = [name for name in below if name not in INSIDE_A_RUN]
            if directory.CONFIG in files or directory.RESULTS in files:
                yield place


def _found(place: Path, config: dict[str, Any], results: Results) -> FoundRun:
    if results:
        return FoundRun(place, RunStatus.FINISHED, config, results)
    from vae_lightning.runs.lock import is_locked  # brings torch along, which finished runs do not need

    if is_locked(place):
        return FoundRun(place, RunStatus.RUNNING, config, results)
    if (place / directory.FAILURE).exists():
        return FoundRun(place, RunStatus.FAILED, config, results, _reason(place))
    if (place / directory.RESULTS).exists():
        return FoundRun(place, RunStatus.FAILED, config, results, f"{directory.RESULTS} cannot be read")
    return FoundRun(place, RunStatus.INTERRUPTED, config, results)


def _reason(place: Path) -> str:
    try:
        return str((directory.read_failure(place) or {}).get("reason", ""))
    except UserError as error:
        return str(error)


def _config_of_a_run(place: Path) -> dict[str, Any]:
    config = directory.read_config(place)
    _Begun.model_validate(config)
    return config


def _readable(place: Path, read: Callable[[Path], Content]) -> Content | None:
    """Return what is read; None where it is missing, torn, or not of a run."""
    with suppress(OSError, ValueError, UserError):
        return read(place)
    return None
