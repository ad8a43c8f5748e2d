"""How a run stands, by nothing but what lies in its directory."""

import json
import os
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, FiniteFloat

from vae_lightning.errors import UserError
from vae_lightning.runs.directory import CHECKPOINTS, CONFIG, FAILURE, FIGURES, RESULTS, YAML_LOADER, read_failure
from vae_lightning.runs.lock import is_locked
from vae_lightning.runs.results import Results

INSIDE_A_RUN = {"wandb", CHECKPOINTS, FIGURES}
"""Folders that are no runs: W&B writes a config.yaml of its own."""


class RunStatus(StrEnum):
    """What can be said of a run from outside."""

    FINISHED = "finished"
    RUNNING = "running"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class FoundRun(NamedTuple):
    """A run directory and what it says."""

    directory: Path
    state: RunStatus
    config: dict[str, Any]
    """Empty where the run is finished: its results say it all."""
    results: Results
    """Empty unless the run is finished."""
    reason: str = ""
    """Why it failed."""

    @property
    def name(self) -> str:
        return self.directory.name


class Found(NamedTuple):
    """What lies below a folder."""

    runs: list[FoundRun]
    foreign: list[Path]
    """Directories with a results.json or a config.yaml that is no run of ours by its name and what it holds."""


class _Begun(BaseModel):
    """What the config of every run of ours has, from which it can be told."""

    class Run(BaseModel):
        directory: str

    run: Run
    kl_weight: FiniteFloat
    latent_dim: int
    seed: int


def find_runs(folders: list[Path]) -> Found:
    """Return the runs at or below some folders, by KL weight and name; links to directories are followed.

    Runs kept aside by rerun=true are not among them.

    Raises:
        UserError: one of the folders is none.
    """
    if missing := [folder for folder in folders if not folder.is_dir()]:
        raise UserError("\n".join(f"{folder}: not a directory" for folder in missing))
    runs, foreign = [], []
    for place in sorted(set(_places(folders))):
        results = Results(_read(place / RESULTS, json.loads, Results.read))
        config = {} if results else _read(place / CONFIG, partial(yaml.load, Loader=YAML_LOADER), _begun)
        name = results["run"] if results else Path(config["run"]["directory"]).name if config else ""
        if name == place.name:
            runs.append(_found(place, config, results))
        elif not name or not place.name.startswith(f"{name}."):  # else it was set aside
            foreign.append(place)
    return Found(sorted(runs, key=_by_weight), foreign)


def _places(folders: list[Path]) -> Iterator[Path]:
    """Return the directories that have a config or results of somebody, each once, wherever links lead to it."""
    seen: set[Path] = set()
    for folder in folders:
        for here, below, files in os.walk(folder, followlinks=True):
            place = Path(here).resolve()
            if place in seen:
                below.clear()
                continue
            seen.add(place)
            below[:] = [name for name in below if name not in INSIDE_A_RUN]
            if CONFIG in files or RESULTS in files:
                yield place


def _by_weight(run: FoundRun) -> tuple[float, str]:
    return float((run.results or run.config)["kl_weight"]), run.name


def _found(place: Path, config: dict[str, Any], results: Results) -> FoundRun:
    if results:
        return FoundRun(place, RunStatus.FINISHED, config, results)
    if is_locked(place):
        return FoundRun(place, RunStatus.RUNNING, config, Results())
    if (place / FAILURE).exists():
        return FoundRun(place, RunStatus.FAILED, config, Results(), _reason(place))
    if (place / RESULTS).exists():
        return FoundRun(place, RunStatus.FAILED, config, Results(), f"{RESULTS} cannot be read")
    return FoundRun(place, RunStatus.INTERRUPTED, config, Results())


def _reason(place: Path) -> str:
    try:
        return str((read_failure(place) or {}).get("reason", ""))
    except UserError as error:
        return str(error)


def _begun(content: Any) -> dict[str, Any]:
    _Begun.model_validate(content)
    return dict(content)


def _read(path: Path, parse: Callable[[str], Any], validated: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """Return what a file holds; nothing where it is not there, not whole, or not ours."""
    try:
        return validated(parse(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
