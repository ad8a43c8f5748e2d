"""Lines, framed lists and tables on a terminal. No text that comes from outside is read as markup, and none is cut."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text


def print_line(console: Console, text: object) -> None:
    """Print a line as it is: brackets stay, and a path can be copied, however narrow the terminal is."""
    console.print(str(text), markup=False, highlight=False, soft_wrap=True)


def framed_list(title: str, rows: Sequence[tuple[str, str]]) -> RenderableType:
    """Return a framed list of names and values; long values are folded."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(Text(name), Text(value))
    return Panel(grid, title=Text(title), title_align="left", expand=False)


def plain_table(title: str | None = None) -> Table:
    """Return an empty table in the style of all tables of ours."""
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
