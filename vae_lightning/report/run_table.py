"""Finished runs as a table on the terminal: what survived at which KL weight."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from vae_lightning.report.differences import what_differs
from vae_lightning.runs.results import CRITICAL, Results, View, columns_of
from vae_lightning.terminal import plain_table

WIDTH_WITH_NAMES = 120


def run_table(results: Sequence[Results], width: int) -> RenderableType:
    """Return one row for each run, by KL weight.

    The id ends the name of the run's directory; where ``width`` has room, the whole name stands there. Where the runs
    differ from an ordinary VAE it is said how, in a narrow table in place of kl_weight·σ².
    """
    told = what_differs(results)
    said, wide = any(told), width >= WIDTH_WITH_NAMES
    columns = [column for column in columns_of(results, View.TABLE) if wide or not said or column.name != CRITICAL]
    table = plain_table("test images, nats per image")
    for column in columns:
        table.add_column(column.label, justify="left" if column.type is str else "right", no_wrap=True)
    if said:
        table.add_column("choices", overflow="fold", min_width=8)
    table.add_column("run" if wide else "id", no_wrap=True)
    pairs = zip(results, told, strict=True)
    for found, differences in sorted(pairs, key=lambda pair: (pair[0].kl_weight, pair[0].run)):
        cells = [column.text(found) for column in columns]
        cells += [", ".join(differences)] if said else []
        table.add_row(*map(Text, cells), Text(found.run if wide else found.fingerprint or ""))
    return table
