"""What papers published beside what the studies of a lab notebook obtained, failures included."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from rich.console import RenderableType
from rich.text import Text

from vae_lightning.errors import Code, UserError
from vae_lightning.report.seeds import OverSeeds, difference, over_seeds
from vae_lightning.report.study import Study, chosen
from vae_lightning.terminal import plain_table

PUBLISHED = "published.csv"
"""A row for each number: paper, place, quantity, study, runs (conditions), column, published, error, rounding."""
ALL = "all"
NOT_RUN, ONE_SEED, REPRODUCED, NOT = "not run so far", "one seed: cannot be said", "reproduced", "not reproduced"


class Compared(NamedTuple):
    """A published number and ours."""

    place: str
    quantity: str
    published: str
    obtained: str
    seeds: int
    interval: str
    """95 % interval of ours minus the published one."""
    verdict: str


def compared(notebook: Path, paper: str) -> list[Compared]:
    """Return what a paper published beside what was obtained, a row for each number; ``all`` takes every paper.

    It is reproduced where the 95 % interval of the difference holds 0, but for what the published digits round away.

    Raises:
        UserError: ``NOT_FOUND`` where the notebook has no list of published numbers, or none of this paper.
    """
    path = notebook / PUBLISHED
    if not path.exists():
        raise UserError(f"{path}: there is no list of published numbers", Code.NOT_FOUND, [path])
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    papers = sorted(set(table["paper"]))
    rows = table if paper == ALL else table[table["paper"] == paper]
    if rows.empty:
        raise UserError(f"paper={paper}: not in {path}; there are {', '.join(papers)}", Code.NOT_FOUND, ["paper"])
    return [_compared(notebook, row, several=paper == ALL) for row in _rows(rows)]


def _rows(table: pd.DataFrame) -> Iterator[dict[str, str]]:
    for _, row in table.iterrows():
        yield {str(key): str(value) for key, value in row.items()}


def _compared(notebook: Path, row: dict[str, str], several: bool) -> Compared:
    place = f"{row['paper']}, {row['place']}" if several else row["place"]
    published, error = float(row["published"]), float(row["error"] or 0)
    told = row["published"] + (f" ± {row['error']}" if row["error"] else "")
    try:
        values = chosen(Study.read(notebook / row["study"]).frame, row["runs"])[row["column"]].dropna()
    except (UserError, KeyError):
        return Compared(place, row["quantity"], told, "–", 0, "–", NOT_RUN)
    ours = over_seeds(values * float(row["sign"] or 1))
    gap = difference(ours, OverSeeds(published, error, math.inf))
    style = f".{len(row['published'].partition('.')[2])}f"
    if len(values) == 1:
        return Compared(place, row["quantity"], told, ours.text(style), 1, "–", ONE_SEED)
    held = abs(gap.value) <= gap.reach + float(row["rounding"] or 0)
    interval = f"{gap.value - gap.reach:+{style}} to {gap.value + gap.reach:+{style}}"
    return Compared(place, row["quantity"], told, ours.text(style), len(values), interval, REPRODUCED if held else NOT)


def paper_table(rows: Sequence[Compared]) -> RenderableType:
    """Return the comparison as a table."""
    table = plain_table("published, and obtained here; ± standard errors, 95 % interval of the difference")
    for name in Compared._fields:
        table.add_column(name, justify="left" if name in {"place", "quantity", "verdict"} else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row))
    return table
