"""The runs that are not finished, as a table: the progress of each, and why it failed."""

from rich.console import RenderableType
from rich.text import Text

from vae_lightning.errors import UserError
from vae_lightning.report.frame import known_of
from vae_lightning.report.page_table import Curves, last_values
from vae_lightning.runs.curves import read_curves
from vae_lightning.runs.results import ACTIVE_UNITS, COLUMNS, ELBO, KL, NONE, Results, View
from vae_lightning.runs.status import Found, FoundRun, RunStatus
from vae_lightning.terminal import plain_table

STYLES = {RunStatus.RUNNING: "cyan", RunStatus.FAILED: "red", RunStatus.INTERRUPTED: "yellow"}
WIDTH_WITH_VALUES = 100
MEASURED = [column for column in COLUMNS if View.TABLE in column.views and column.name in {ELBO, KL, ACTIVE_UNITS}]


def status_table(found: Found, width: int) -> RenderableType | None:
    """Return a row for each run that is not finished, and for each directory that is no run; None if none."""
    unfinished = [run for run in found.runs if run.status is not RunStatus.FINISHED]
    if not unfinished and not found.foreign:
        return None
    table = plain_table()
    table.add_column("", no_wrap=True)
    table.add_column("epoch", justify="right", no_wrap=True)
    wide = width >= WIDTH_WITH_VALUES
    if wide:
        for column in MEASURED:
            table.add_column(column.label, justify="right", no_wrap=True)
    table.add_column("run", overflow="fold")
    for run in unfinished:
        epoch, *values = _progress(run)
        why = f"\n{run.reason}" if run.reason else ""
        table.add_row(Text(run.status, STYLES[run.status]), epoch, *(values if wide else []), Text(f"{run.name}{why}"))
    for path in found.foreign:
        table.add_row("foreign", "", *([""] * len(MEASURED) if wide else []), Text(str(path)))
    return table


def _progress(run: FoundRun) -> list[str]:
    """Return how many epochs of how many are done, and what the last one measured."""
    try:
        curves: Curves = read_curves(run.directory)
    except (UserError, OSError):
        curves = []
    found = Results(known_of(run) | last_values(curves))
    epochs = (run.config.get("trainer") or {}).get("max_epochs", "?")
    values = [column.text(found) for column in MEASURED]
    return [f"{found.epochs or 0}/{epochs}", *("" if value == NONE else value for value in values)]
