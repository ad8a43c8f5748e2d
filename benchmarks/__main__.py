"""``python -m benchmarks``: measures, prints a table for each section, and writes them as a page.

``make bench`` runs it and first makes the environment of pythae.
"""

import argparse
import datetime
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.alternation import without_paths
from benchmarks.bench import ROOT, Bench, n_cores, threads_by_environment
from benchmarks.catalogue import SECTIONS
from benchmarks.rows import Row
from benchmarks.tables import Facts, page, terminal_table

PAGE = ROOT / "docs" / "benchmarks.md"
LEAST_WIDTH = 150
"""Characters of a table that goes into a file."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed and memory, as tables.")
    told = f"sections to measure, with commas between them (default: all): {', '.join(SECTIONS)}"
    parser.add_argument("--only", type=names_of_sections, default=list(SECTIONS), metavar="NAMES", help=told)
    told = "write the page there (default: docs/benchmarks.md where all sections are measured, else nowhere)"
    parser.add_argument("--output", type=Path, help=told)
    told = "runs of the whole sweep at most (default: all that make sweep has)"
    parser.add_argument("--jobs", type=int, help=told)
    told = "how often rivals take turns (default: as each section thinks fit)"
    parser.add_argument("--rounds", type=int, help=told)
    options = parser.parse_args()
    if options.output and not options.output.parent.is_dir():  # not after half an hour
        parser.error(f"--output {options.output}: there is no folder {options.output.parent}")
    return options


def names_of_sections(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(SECTIONS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: choose from {', '.join(SECTIONS)}")
    return [name for name in SECTIONS if name in names]


def facts_of(bench: Bench) -> Facts:
    date = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    return Facts(date, torch.__version__, platform.python_version(), n_cores(), bench.n_threads)


def measured(names: Sequence[str], bench: Bench, console: Console) -> tuple[dict[str, list[Row]], bool]:
    """Measure the sections and print each; return the rows by the sections' names, and whether all could be had."""
    found: dict[str, list[Row]] = {}
    complete = True
    for name in names:
        started = time.perf_counter()
        try:
            found[name] = SECTIONS[name].measure(bench)
        except Exception as error:  # after half an hour the other sections are worth having
            found[name] = [Row(f"failed: {without_paths(str(error) or type(error).__name__)}", {})]
            complete = False
        title = f"{SECTIONS[name].title} (--only {name}, {time.perf_counter() - started:.0f} s)"
        console.print(terminal_table(title, found[name]))
    return found, complete


def main() -> None:
    options = arguments()
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(console.width, LEAST_WIDTH))
    with tempfile.TemporaryDirectory() as folder:
        n_threads = threads_by_environment() or n_cores()
        bench = Bench(Path(folder), n_threads, n_jobs=options.jobs, n_rounds=options.rounds)
        facts = facts_of(bench)
        console.print(facts.in_words())
        found, complete = measured(options.only, bench, console)
    output = options.output or (PAGE if options.only == list(SECTIONS) else None)
    if output:
        tables = {SECTIONS[name].title: (SECTIONS[name].note, rows) for name, rows in found.items()}
        output.write_text(page(facts, tables), encoding="utf-8")
        console.print(f"written into {output}")
    sys.exit(0 if complete else 1)


if __name__ == "__main__":
    main()
