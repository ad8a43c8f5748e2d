"""What lies in a run directory, and how it gets there: the config, the checkpoints, the results written last."""

import json
import time
from pathlib import Path
from typing import Any

import yaml

from vae_lightning.errors import UserError
from vae_lightning.files import write_atomically, write_json

CONFIG = "config.yaml"
RESULTS = "results.json"
CHECKPOINTS = "checkpoints"
FIGURES = "figures"


def open_directory(directory: Path, config: dict[str, Any]) -> None:
    """Make the directory and write the resolved config into it. Raises UserError where it cannot be written."""
    try:
        for folder in (CHECKPOINTS, FIGURES):
            (directory / folder).mkdir(parents=True, exist_ok=True)
        write_atomically(directory / CONFIG, yaml.safe_dump(config, sort_keys=False).encode())
    except OSError as error:
        raise UserError(
            f"runs_dir={config['runs_dir']}: cannot write {directory} ({error.strerror or error}); "
            "name a writable folder by runs_dir=…"
        ) from error


def set_aside(directory: Path) -> Path:
    """Move an earlier run out of the way, keeping it; return where it is now."""
    kept = directory.with_name(f"{directory.name}.{time.strftime('%Y%m%d-%H%M%S')}")
    directory.rename(kept)
    return kept


def newest_checkpoint(directory: Path) -> Path | None:
    return max((directory / CHECKPOINTS).glob("*.ckpt"), default=None, key=lambda path: path.name)


def read_results(directory: Path) -> dict[str, Any] | None:
    """Return the results of a finished run, or None where it is not finished."""
    path = directory / RESULTS
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def read_config(directory: Path) -> dict[str, Any]:
    """Return the resolved config of a run."""
    config: dict[str, Any] = yaml.safe_load((directory / CONFIG).read_text(encoding="utf-8"))
    return config


def write_results(directory: Path, results: dict[str, Any]) -> None:
    """Write the results atomically. They are written last: their presence marks the run finished."""
    write_json(directory / RESULTS, results)
