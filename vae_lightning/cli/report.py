"""``vae-report DIR``: a table of the finished runs below a directory, and on request a page of the lab notebook."""

import argparse
from pathlib import Path

from vae_lightning.cli.door import open_door
from vae_lightning.errors import UserError


def main() -> None:
    open_door(report)


def report() -> None:
    """Print the table; write ``NOTEBOOK/<study>/README.md`` where ``--notebook`` asks for it."""
    parser = argparse.ArgumentParser(prog="vae-report", description=__doc__.split(": ", 1)[1])
    parser.add_argument("directory", type=Path, help="a run, a study or a whole runs_dir")
    parser.add_argument("--notebook", type=Path, help="also write NOTEBOOK/<study>/: page, results.csv, figures")
    options = parser.parse_args()

    from rich.console import Console

    from vae_lightning.report.notebook import finished_runs, write_page
    from vae_lightning.report.tables import run_table

    if not options.directory.is_dir():
        raise UserError(f"{options.directory}: not a directory")
    runs = finished_runs(options.directory)
    if not runs:
        raise UserError(f"{options.directory}: no finished run (no results.json) in it or below it")
    console = Console()
    console.print(run_table([found for _, found in runs], console.width))
    if options.notebook:
        for study in dict.fromkeys(found["study"] for _, found in runs):
            pages = [run for run in runs if run[1]["study"] == study]
            console.print(f"wrote {write_page(pages, options.notebook / study)}", soft_wrap=True)
