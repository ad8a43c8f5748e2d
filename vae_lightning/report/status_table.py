"""The runs that are not finished, as a table: the progress of each, and why it failed."""

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from vae_lightning.errors import UserError
from vae_lightning.report.page_table import Curves, last_values
from vae_lightning.runs.curves import read_curves
from vae_lightning.runs.status import Found, FoundRun, RunStatus

STYLES = {RunStatus.RUNNING: "cyan", RunStatus.FAILED: "red", RunStatus.INTERRUPTED: "yellow"}
WIDTH_WITH_VALUES = 100


def status_table(found: Found, width: int) -> RenderableType | None:
    """Return a row for each run that is not finished, and for each directory that is no run; None if none."""
    unfinished = [run for run in found.runs if run.status is not RunStatus.FINISHED]
    if not unfinished and not found.foreign:
        return None
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    table.add_column("epoch", justify="right", no_wrap=True)
    wide = width >= WIDTH_WITH_VALUES
    if wide:
        for name in ("ELBO", "KL", "active"):
            table.add_column(name, justify="right", no_wrap=True)
    table.add_column("run", overflow="fold")
    for run in unfinished:
        epoch, *values = _progress(run)
        why = f"\n{run.reason}" if run.reason else ""
        table.add_row(Text(run.status, STYLES[run.status]), epoch, *(values if wide else []), Text(f"{run.name}{why}"))
    for path in found.foreign:
        table.add_row("foreign", "", *([""] * 3 if wide else []), Text(str(path)))
    return table


def _progress(run: FoundRun) -> tuple[str, str, str, str]:
    try:
        curves: Curves = read_curves(run.directory)
    except (UserError, OSError):
        curves = []
    values = last_values(curves)
    epochs = (run.config.get("trainer") or {}).get("max_epochs", "?")
    epoch = f"{values['epochs']}/{epochs}" if values else f"0/{epochs}"

    def number(name: str, digits: int) -> str:
        return f"{values[name]:.{digits}f}" if name in values else ""

    return epoch, number("test/elbo", 2), number("test/kl", 2), number("test/active_units", 0)
