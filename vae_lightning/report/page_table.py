"""The page's table: a row for each run, whatever became of it."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vae_lightning.report.csv_rows import results_or_config
from vae_lightning.report.tables import forecast_units, verdict_word, what_differs
from vae_lightning.runs.status import FoundRun, RunStatus

Curves = list[dict[str, Any]]
COLUMNS = (
    "run", "state", "kl_weight", "kl_weight·σ²", "what else", "seed", "ELBO", "L_K", "KL", "distortion",
    "active", "forecast", "verdict", "epochs", "seconds",
)  # fmt: skip
HELD_OUT = "held out"
TEXT_COLUMNS = ("run", "state", "what else", "verdict")


def rows(runs: Sequence[tuple[FoundRun, Curves]], folder: Path) -> list[dict[str, Any]]:
    told = what_differs([results_or_config(run) for run, _ in runs])
    return [_row(*run, differences, folder) for run, differences in zip(runs, told, strict=True)]


def _row(run: FoundRun, curves: Curves, differences: Sequence[str], folder: Path) -> dict[str, Any]:
    """Return the cells of a row, and the words by which it is found."""
    found = results_or_config(run)
    if run.status is not RunStatus.FINISHED:
        found |= last_values(curves)
    verdict = verdict_word(found) if run.results else "–"
    cells: list[dict[str, Any]] = [
        {"shown": run.name, "text": True, "key": None, "link": link(run.directory, folder)},
        {"shown": run.status.value, "text": True, "key": None, "word": run.status.value},
        _cell(found.get("kl_weight"), "g"),
        _cell(found.get("kl_weight_times_variance"), ".4g"),
        {"shown": ", ".join(word for word in differences if not word.startswith("seed=")), "text": True, "key": None},
        _cell(found.get("seed"), "d"),
        _cell(found.get("test/elbo"), ".2f"),
        _cell(found.get("test/log_px"), ".2f", prefix=f"L{found.get('test/log_px_samples')} "),
        _cell(found.get("test/kl"), ".2f"),
        _cell(found.get("test/distortion"), ".2f"),
        _cell(found.get("test/active_units"), "g"),
        {**_cell(found.get("forecast/active_units"), "d"), "shown": forecast_units(found)},
        {"shown": verdict, "text": True, "key": None, "word": verdict if run.results else None},
        _cell(found.get("epochs"), "d"),
        _cell(found.get("seconds"), ".0f"),
    ]
    if found.get(HELD_OUT) == "val":  # not finished: what it has measured so far is not of the test images
        for cell, column in zip(cells, COLUMNS, strict=True):
            if column in {"ELBO", "KL", "distortion", "active"} and cell["key"] is not None:
                cell["shown"] += " (val)"
    settings = found.get("settings") or {}
    plain = [settings.get(f"{part}.name", "") for part in ("data", "model", "likelihood", "beta_schedule")]
    named = [f"{key}={cells[COLUMNS.index(key)]['shown']}" for key in ("kl_weight", "seed", "epochs")]
    words = [*(str(cell["shown"]) for cell in cells), *plain, *named, *differences]
    return {"cells": cells, "words": f" {' '.join(words)} ".lower()}


def last_values(curves: Curves) -> dict[str, Any]:
    """Return the last held-out values of a run that is not finished, under the names of its results.

    They come at the end of an epoch, and say with it how many are done; ``HELD_OUT`` says of which split they are.
    """
    values: dict[str, Any] = {}
    for line in curves:
        for name, value in line.items():
            split, _, what = name.partition("/")
            if what and split != "train" and value is not None:
                values |= {f"test/{what}": value, "epochs": line["epoch"] + 1, HELD_OUT: split}
    return values


def _cell(value: float | int | None, style: str, prefix: str = "") -> dict[str, Any]:
    if value is None or not math.isfinite(value):
        return {"shown": "–" if value is None else str(value), "key": None}
    return {"shown": prefix + format(value, style), "key": float(value)}


def link(path: Path, folder: Path) -> str:
    """Return the address of a directory as seen from a folder."""
    return quote(os.fsencode(os.path.relpath(path, folder.resolve()))) + "/"
