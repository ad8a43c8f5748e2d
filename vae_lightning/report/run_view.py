"""A run as a page shows it: its results, its curves, its pictures."""

from typing import NamedTuple

from vae_lightning.errors import UserError
from vae_lightning.report.page_table import Curves
from vae_lightning.report.pictures import sprite, thumbnail
from vae_lightning.runs.curves import read_curves
from vae_lightning.runs.directory import FIGURES, LATENT_PLANE
from vae_lightning.runs.status import FoundRun, RunStatus

PICTURES = {"reconstructions": "test images above their reconstructions", "samples": "images of codes from the prior"}


class RunView(NamedTuple):
    """A run with what is shown of it."""

    id: str
    """The address of its card on the page."""
    found: FoundRun
    curves: Curves
    pictures: dict[str, str | None]


def run_view(number: int, run: FoundRun) -> RunView:
    """Read what the page shows of a run beside its results; what cannot be read is left out."""
    figures = run.directory / FIGURES
    pictures: dict[str, str | None] = {}
    if run.status is RunStatus.FINISHED:
        pictures = {name: thumbnail(figures / f"{name}.png") for name in PICTURES}
        pictures[LATENT_PLANE] = sprite(figures / LATENT_PLANE)
    try:
        curves = [line for line in read_curves(run.directory) if isinstance(line, dict)]
    except (UserError, OSError):  # the numbers in its results are whole all the same
        curves = []
    return RunView(f"run-{number}", run, curves, pictures)
