"""``vae-report DIR...``: what the runs below some directories found, as a table, results.csv and one HTML page."""

from pathlib import Path

from vae_lightning.cli.run_command import parser_for, run_command
from vae_lightning.errors import Code, UserError


def main() -> None:
    run_command(report)


def report() -> None:
    """Print the table and write the page; write ``NOTEBOOK/<study>/README.md`` where ``--notebook`` asks for it.

    With ``--paper`` DIR is a lab notebook, and what a paper published is printed beside what its studies obtained.
    """
    parser = parser_for(f"{__doc__} Also while a sweep is still running; from local files only.")
    parser.add_argument("directories", type=Path, nargs="+", metavar="DIR", help="a run, a study or a whole runs_dir")
    parser.add_argument("--output", type=Path, help="where report.html and results.csv go (default: the first DIR)")
    parser.add_argument("--notebook", type=Path, help="also write NOTEBOOK/<study>/: page, results.csv, figures")
    parser.add_argument("--paper", metavar="NAME", help="print what a paper (or all) published beside what DIR, a lab "
                        "notebook, obtained")  # fmt: skip
    options = parser.parse_args()

    from rich.console import Console

    if options.paper:
        from vae_lightning.report.papers import compared, paper_table

        Console().print(paper_table(compared(options.directories[0], options.paper)))
        return

    from vae_lightning.report.page import NOT_OURS, write_report
    from vae_lightning.report.run_table import run_table
    from vae_lightning.runs.status import RunStatus, find_runs
    from vae_lightning.terminal import print_line

    found = find_runs(options.directories)
    foreign = [f"{path}: {NOT_OURS}" for path in found.foreign]
    if not found.runs:
        places = ", ".join(map(str, options.directories))
        message = "\n".join([f"{places}: no run of vae-train in it or below it", *foreign])
        raise UserError(message, Code.NOT_FOUND, options.directories)
    console = Console()
    finished = [run for run in found.runs if run.status is RunStatus.FINISHED]
    if finished:
        console.print(run_table([run.results for run in finished], console.width))
    for run in found.runs:
        if run.status is not RunStatus.FINISHED:
            print_line(console, f"{run.status} {run.name}{f': {run.reason}' if run.reason else ''}")
    for line in foreign:
        print_line(console, f"foreign {line}")
    if options.notebook and not finished:
        print_line(console, "no page of the notebook: no run is finished")
    elif options.notebook:
        from vae_lightning.report.contents import write_contents
        from vae_lightning.report.notebook import write_page

        for study in dict.fromkeys(run.results.study for run in finished):
            pages = [run for run in finished if run.results.study == study]
            print_line(console, f"wrote {write_page(pages, options.notebook / study)}")
        if contents := write_contents(options.notebook):
            print_line(console, f"wrote {contents}")
    print_line(console, f"wrote {write_report(found, options.output or options.directories[0])}")
