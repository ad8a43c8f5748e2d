"""``python -m benchmarks.truth.page``: puts the tables of what was measured into ``docs/verdicts.md``."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.truth.onsets import ALIVE, OF_WEIGHTS
from benchmarks.truth.verdicts import confusion

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "verdicts.md"
Rows = Sequence[Mapping[str, str]]


def rows_of(name: str) -> Rows:
    """Return the lines of a measurement."""
    with (DOCS / "truth" / f"{name}.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def onsets(rows: Rows) -> str:
    """Return a table of onsets, and how many are met within a tenth."""
    head = ["data", "likelihood", "forecast", "on new data", "KL at 1.1", "at 0.9", "at 0.8", "within a tenth"]
    lines = [" | ".join(head), " | ".join(["---", "---", *["---:"] * 5, "---"])]
    met = 0
    for row in rows:
        above, below, _ = (float(row[name]) for name in OF_WEIGHTS)
        holds = above < ALIVE < below
        met += holds
        kl = [row[name] for name in OF_WEIGHTS]
        new_data = f"{row['new_data']} ± {row['new_data_error']}"
        lines.append(
            " | ".join([row["data"], row["likelihood"], row["forecast"], new_data, *kl, "yes" if holds else "no"])
        )
    return "\n".join([*(f"| {line} |" for line in lines), "", f"Within a tenth: {met} of {len(rows)}."])


def filled(text: str) -> str:
    """Return the page with its tables."""
    for name, table in (("verdicts", confusion(rows_of("verdicts"))), ("onsets", onsets(rows_of("onsets")))):
        before, _, rest = text.partition(f"<!-- {name} -->\n")
        text = f"{before}<!-- {name} -->\n{table}\n<!-- end -->{rest.partition('<!-- end -->')[2]}"
    return text


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
