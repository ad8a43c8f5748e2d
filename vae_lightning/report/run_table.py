"""Finished runs as a table on the terminal: what survived at which KL weight."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from vae_lightning.report.differences import what_differs
from vae_lightning.runs.results import ACTIVE_DIRECTIONS, CRITICAL, Results, View, columns_of
from vae_lightning.terminal import plain_table

NAME, ID = "run", "id"
CHOICES = "choices"
CHOICES_WIDTH = 8
"""Letters into which the choices are folded where there is no more room."""
LAYOUTS: tuple[tuple[str, frozenset[str]], ...] = (
    (NAME, frozenset()),
    (ID, frozenset()),
    (ID, frozenset({CRITICAL})),
    (ID, frozenset({CRITICAL, ACTIVE_DIRECTIONS})),
)
"""What a run is called in the last column, and the columns that are left out; the widest first."""


def run_table(results: Sequence[Results], width: int) -> RenderableType:
    """Return one row for each run, by KL weight, in the widest layout that ``width`` has room for.

    The id ends the name of the run's directory. Where the runs differ from an ordinary VAE it is said how, which in 80
    letters leaves no room for active directions.
    """
    told = what_differs(results)
    choices = [[", ".join(differences)] if any(told) else [] for differences in told]
    rows = sorted(zip(results, choices, strict=True), key=lambda row: (row[0].kl_weight, row[0].run))
    for last, left_out in LAYOUTS:
        columns = [column for column in columns_of(results, View.TABLE) if column.name not in left_out]
        heads = [*(column.label for column in columns), *([CHOICES] if any(told) else []), last]
        lines = [
            [*(column.text(found) for column in columns), *said, found.run if last == NAME else found.fingerprint or ""]
            for found, said in rows
        ]
        if _width(heads, lines) <= width:
            break
    table = plain_table("test images, nats per image")
    left = {last, *(column.label for column in columns if column.type is str)}
    for head in heads:
        if head == CHOICES:
            table.add_column(head, overflow="fold", min_width=CHOICES_WIDTH)
        else:
            table.add_column(head, justify="left" if head in left else "right", no_wrap=True)
    for line in lines:
        table.add_row(*map(Text, line))
    return table


def _width(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> int:
    """Return the least width at which no cell is cut; there are two spaces between columns."""
    widths = [
        CHOICES_WIDTH if head == CHOICES else max(map(len, [head, *cells]))
        for head, cells in zip(heads, zip(*lines, strict=True), strict=True)
    ]
    return sum(widths) + 2 * len(widths) + 1
