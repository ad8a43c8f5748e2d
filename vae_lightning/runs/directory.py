"""What lies in a run directory, and how it gets there: the config, the checkpoints, the results written last."""

import contextlib
import itertools
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from vae_lightning.errors import Code, UserError
from vae_lightning.files import write_atomically, write_json
from vae_lightning.runs.results import Results

CONFIG = "config.yaml"
RESULTS = "results.json"
CHECKPOINTS = "checkpoints"
FIGURES = "figures"
LATENT_PLANE = "latent_plane.webp"
"""Among the figures: the decoder's images on a grid over the plane of two latent units, edge to edge."""
EVALUATION = "evaluation.json"
"""What was found in a run that is not finished: its results.json would mark it as finished."""
FAILURE = "failure.json"
"""Why the last attempt at a run failed; gone once another one begins."""

YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C takes a tenth of the time


def make_folders(directory: Path) -> None:
    """Make the directory of a run. Raises OSError where it cannot be."""
    for folder in (CHECKPOINTS, FIGURES):
        (directory / folder).mkdir(parents=True, exist_ok=True)


def write_config(directory: Path, config: dict[str, Any]) -> None:
    """Write the resolved config. Raises UserError where it cannot be written."""
    try:
        write_atomically(directory / CONFIG, yaml.safe_dump(config, sort_keys=False).encode())
    except OSError as error:
        raise cannot_write(directory, error) from error


def cannot_write(directory: Path, error: OSError) -> UserError:
    """Return the error of a run directory that cannot be written."""
    reason = f"runs_dir={directory.parent.parent}: cannot write {directory} ({error.strerror or error}); "
    reason += "name a writable folder by runs_dir=…"
    return UserError(reason, Code.CANNOT_WRITE, ["runs_dir", directory])


def remove_leftovers(directory: Path) -> None:
    """Remove the temporary files of processes that were killed while they wrote. Only a run's owner may call it."""
    for name in (f".{CONFIG}.*", ".metrics.jsonl.*", f"{CHECKPOINTS}/.*.ckpt.*"):
        for path in directory.glob(name):
            path.unlink(missing_ok=True)


def begun(directory: Path) -> bool:
    """Say whether there is a run in a directory, begun or finished."""
    return (directory / CONFIG).exists() or (directory / RESULTS).exists()


def set_aside(directory: Path) -> Path:
    """Move an earlier run out of the way, keeping it; return where it is now."""
    now = f"{directory.name}.{time.strftime('%Y%m%d-%H%M%S')}"
    names = itertools.chain([now], (f"{now}.{number}" for number in itertools.count(2)))
    return directory.rename(next(path for path in map(directory.with_name, names) if not path.exists()))


def checkpoints(directory: Path) -> list[Path]:
    """Return the checkpoints of a run, the oldest first."""
    return sorted((directory / CHECKPOINTS).glob("step[0-9]*.ckpt"))


def newest_checkpoint(directory: Path) -> Path | None:
    """Return the newest checkpoint of a run, None where there is none."""
    return next(reversed(checkpoints(directory)), None)


def read_results(directory: Path) -> Results | None:
    """Return the results of a finished run, or None where it is not finished. Raises UserError where they are torn."""
    path = directory / RESULTS
    if not path.exists():
        return None
    try:
        return Results.read(_read(path, json.loads))
    except ValueError as error:
        raise UserError(f"{path}: not the results of a run ({error})", Code.DAMAGED, (path,)) from error


def read_config(directory: Path) -> dict[str, Any]:
    """Return the resolved config of a run. Raises UserError where it is torn."""
    return _read(directory / CONFIG, partial(yaml.load, Loader=YAML_LOADER))


def _read(path: Path, parse: Callable[[str], Any]) -> dict[str, Any]:
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except (ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read ({str(error).splitlines()[0]})", Code.DAMAGED, [path]) from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: cannot be read (it holds no keys)", Code.DAMAGED, [path])
    return content


def record_failure(directory: Path, reason: str, log: Path | None = None) -> None:
    """Note why an attempt at a run failed, and where its output is. Does nothing where no run was begun."""
    if (directory / CONFIG).exists():
        with contextlib.suppress(OSError):  # a disk may be why; what failed says it as well
            write_json(directory / FAILURE, {"reason": reason, "log": str(log) if log else None})


def read_failure(directory: Path) -> dict[str, Any] | None:
    """Return why the last attempt at a run failed, or None where it did not."""
    path = directory / FAILURE
    return _read(path, json.loads) if path.exists() else None


def write_results(directory: Path, results: dict[str, Any]) -> None:
    """Write the results atomically. They are written last: their presence marks the run finished."""
    write_json(directory / RESULTS, results)
    (directory / EVALUATION).unlink(missing_ok=True)
