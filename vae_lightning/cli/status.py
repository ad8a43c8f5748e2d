"""``vae-status DIR...``: which runs are finished, running, failed or interrupted."""

from collections import Counter
from pathlib import Path

from vae_lightning.cli.run_command import parser_for, run_command
from vae_lightning.errors import Code, UserError


def main() -> None:
    run_command(status)


def status() -> None:
    """Print how many runs have which status, and a line for each that is not finished."""
    parser = parser_for(__doc__)
    parser.add_argument("directories", type=Path, nargs="+", metavar="DIR", help="a run, a study or a whole runs_dir")
    options = parser.parse_args()

    from rich.console import Console

    from vae_lightning.report.status_table import status_table
    from vae_lightning.runs.status import find_runs

    found = find_runs(options.directories)
    if not found.runs and not found.foreign:
        places = ", ".join(map(str, options.directories))
        raise UserError(f"{places}: no run in it or below it", Code.NOT_FOUND, options.directories)
    console = Console()
    counts = Counter(run.status.value for run in found.runs) + Counter(foreign=len(found.foreign))
    console.print(", ".join(f"{number} {name}" for name, number in counts.items()), highlight=False)
    if table := status_table(found, console.width):
        console.print(table)
