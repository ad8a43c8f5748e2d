"""How a run stands, by nothing but what lies in its directory."""

import json
import math
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from vae_lightning.errors import UserError
from vae_lightning.runs.claim import is_claimed
from vae_lightning.runs.directory import CONFIG, FAILURE, RESULTS, read_config, read_failure


class State(StrEnum):
    """What can be said of a run from outside."""

    FINISHED = "finished"
    RUNNING = "running"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class FoundRun(NamedTuple):
    """A run directory and what it says."""

    directory: Path
    state: State
    config: dict[str, Any]
    """Empty where the run is finished: its results say it all."""
    results: dict[str, Any]
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
    """Directories with a results.json or a config.yaml that no run of ours wrote, or that cannot be read."""


def find_runs(folders: list[Path]) -> Found:
    """Return the runs at or below some folders, by KL weight and name; runs kept aside by rerun=true are not among
    them."""
    places = {path.parent for folder in folders for name in (CONFIG, RESULTS) for path in folder.resolve().rglob(name)}
    runs, foreign = [], []
    for place in sorted(places):
        results = _results(place)
        config = {} if results else _config(place)
        name = results.get("run") or Path((config.get("run") or {}).get("directory", "")).name
        if not name or not isinstance(name, str):
            foreign.append(place)
        elif name == place.name:
            runs.append(_found(place, config, results))
        elif not place.name.startswith(f"{name}."):  # set aside
            foreign.append(place)
    return Found(sorted(runs, key=_by_weight), foreign)


def _by_weight(run: FoundRun) -> tuple[float, str]:
    weight = (run.results or run.config).get("kl_weight")
    return (float(weight) if isinstance(weight, int | float) else math.inf, run.name)


def _found(place: Path, config: dict[str, Any], results: dict[str, Any]) -> FoundRun:
    if results:
        return FoundRun(place, State.FINISHED, config, results)
    if is_claimed(place):
        return FoundRun(place, State.RUNNING, config, {})
    if (place / FAILURE).exists():
        return FoundRun(place, State.FAILED, config, {}, _reason(place))
    if (place / RESULTS).exists():
        return FoundRun(place, State.FAILED, config, {}, f"{RESULTS} cannot be read")
    return FoundRun(place, State.INTERRUPTED, config, {})


def _reason(place: Path) -> str:
    try:
        return str((read_failure(place) or {}).get("reason", ""))
    except UserError as error:
        return str(error)


def _config(place: Path) -> dict[str, Any]:
    try:
        return read_config(place) if (place / CONFIG).exists() else {}
    except (UserError, OSError):
        return {}


def _results(place: Path) -> dict[str, Any]:
    """Return a run's results; nothing where the file is not ours or not whole."""
    try:
        results = json.loads((place / RESULTS).read_text(encoding="utf-8"))
    except (ValueError, OSError):
        return {}
    return results if isinstance(results, dict) and "run" in results else {}
