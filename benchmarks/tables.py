"""Rows as a table on the terminal, and as a page of Markdown."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.table import Table

from benchmarks.rows import Row, Spread, columns_of


class Facts(NamedTuple):
    """When and on what the numbers were measured; neither the machine's name nor its paths."""

    date: str
    torch: str
    python: str
    n_cores: int
    n_threads: int

    def in_words(self) -> str:
        threads = f"{self.n_threads} thread{'s' if self.n_threads > 1 else ''} in each process that is compared"
        return f"{self.date}, torch {self.torch}, Python {self.python}, {self.n_cores} cores, {threads}"


def terminal_table(title: str, rows: Sequence[Row]) -> Table:
    """Return a table with the quartiles below each median."""
    table = Table(title=title, title_justify="left", show_lines=True)
    columns = columns_of(rows)
    for column in ("what", *columns, "goal"):
        table.add_column(column, justify="left" if column in {"what", "goal"} else "right")
    for row in rows:
        cells = (cell(row.values.get(column, ""), "\n{}") for column in columns)
        table.add_row(row.what, *cells, "\n".join(goal.in_words(row) for goal in row.goals))
    return table


def page(facts: Facts, sections: Mapping[str, tuple[str, Sequence[Row]]]) -> str:
    """Return a page with a table for each section, by its title: a note and its rows."""
    head = f"# Benchmarks\n\nWritten by `make bench`: {facts.in_words()}. Medians, with quartiles in brackets.\n"
    parts = [f"\n## {title}\n\n{note}\n\n{markdown_table(rows)}" for title, (note, rows) in sections.items()]
    return head + "".join(parts)


def markdown_table(rows: Sequence[Row]) -> str:
    columns = columns_of(rows)
    lines = [["what", *columns, "goal"], ["---", *("---:" for _ in columns), "---"]]
    for row in rows:
        cells = [cell(row.values.get(column, ""), " ({})") for column in columns]
        lines.append([row.what, *cells, "<br>".join(goal.in_words(row) for goal in row.goals)])
    return "".join(f"| {' | '.join(text.replace('|', '/') for text in line)} |\n" for line in lines)


def cell(value: Spread | str, with_quartiles: str) -> str:
    """Return a value in words, its quartiles as ``with_quartiles`` has them."""
    if isinstance(value, str):
        return value
    return value.median + (with_quartiles.format(value.quartiles) if value.quartiles else "")
