"""The page's table: a row for each run, whatever became of it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vae_lightning.report.differences import what_differs
from vae_lightning.report.frame import known_of
from vae_lightning.runs.results import (
    CHOICES,
    EPOCHS,
    KL_WEIGHT,
    NONE,
    SEED,
    VERDICT,
    Column,
    Results,
    View,
    columns_of,
)
from vae_lightning.runs.status import FoundRun, RunStatus

Curves = list[dict[str, Any]]
HELD_OUT = "held out"
MEASURED = "test/"


def table(runs: Sequence[tuple[FoundRun, Curves]], folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the heads and the rows of the table; its links are relative to ``folder``."""
    known = [known_of(run) for run, _ in runs]
    columns = columns_of(known, View.PAGE)
    heads = [{"name": name, "text": True} for name in ("run", "state")]
    heads += [{"name": column.label, "text": _is_text(column)} for column in columns]
    told = what_differs(known)
    return heads, [_row(*run, words, columns, folder) for run, words in zip(runs, told, strict=True)]


def _is_text(column: Column) -> bool:
    return column.name in {CHOICES, VERDICT}


def _row(
    run: FoundRun, curves: Curves, differences: Sequence[str], columns: Sequence[Column], folder: Path
) -> dict[str, Any]:
    """Return the cells of a row, and the words by which it is found."""
    found = known_of(run)
    measured_so_far: dict[str, Any] = {}
    if run.status is not RunStatus.FINISHED:
        measured_so_far = last_values(curves)
        found = Results(found | measured_so_far)
    cells: dict[str, dict[str, Any]] = {column.name: _cell(column, found) for column in columns}
    cells[CHOICES] = {
        "shown": ", ".join(word for word in differences if not word.startswith(f"{SEED}=")),
        "text": True,
        "key": None,
    }
    if measured_so_far.get(HELD_OUT) == "val":  # what it has measured so far is not of the test images
        for name in measured_so_far.keys() & cells.keys():
            if name.startswith(MEASURED) and cells[name]["key"] is not None:
                cells[name]["shown"] += " (val)"
    named = [f"{key}={cells[key]['shown']}" for key in (KL_WEIGHT, SEED, EPOCHS)]
    chosen = found.settings or {}
    plain = [chosen.get(f"{part}.name", "") for part in ("data", "model", "likelihood", "beta_schedule")]
    first: list[dict[str, Any]] = [
        {"shown": run.name, "text": True, "key": None, "link": link(run.directory, folder)},
        {"shown": run.status.value, "text": True, "key": None, "word": run.status.value},
    ]
    every = [*first, *cells.values()]
    words = [*(str(cell["shown"]) for cell in every), *plain, *named, *differences]
    return {"cells": every, "words": f" {' '.join(words)} ".lower()}


def _cell(column: Column, found: Results) -> dict[str, Any]:
    """Return a value as the page shows it, and the number by which rows are sorted."""
    value, shown = column.value(found), column.text(found)
    if _is_text(column):
        return {"shown": shown, "text": True, "key": None, "word": None if shown == NONE else shown}
    return {"shown": shown, "key": float(value) if isinstance(value, int | float) else None}


def last_values(curves: Curves) -> dict[str, Any]:
    """Return the last held-out values of a run that is not finished, under the names of its results.

    They come at the end of an epoch, and say with it how many are done; ``HELD_OUT`` says of which split they are.
    """
    values: dict[str, Any] = {}
    for line in curves:
        for name, value in line.items():
            split, _, what = name.partition("/")
            if what and split != "train" and value is not None:
                values |= {f"{MEASURED}{what}": value, EPOCHS: line["epoch"] + 1, HELD_OUT: split}
    return values


def link(path: Path, folder: Path) -> str:
    """Return the address of a directory as seen from a folder."""
    return quote(os.fsencode(os.path.relpath(path, folder.resolve()))) + "/"
