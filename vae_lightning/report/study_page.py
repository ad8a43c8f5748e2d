"""The page of a study: words by hand in ``page.md``, their numbers, tables and figures from the study's runs."""

import io
import re
from collections.abc import Callable, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

from vae_lightning.errors import Code, UserError
from vae_lightning.files import write_atomically
from vae_lightning.report.study import Study
from vae_lightning.report.study_tables import write_tables
from vae_lightning.report.words import Words
from vae_lightning.runs.status import FoundRun

TEMPLATE, PAGE, COMMANDS, FIGURES = "page.md", "README.md", "run.sh", "figures.py"
NOT_RUN = "*Not run so far.*"
SECTIONS = ("What theory says", "Result", "Finding", "What would change our mind")
"""Of every ``page.md``, in this order."""
DPI = 110
Draw = Callable[[Study], Figure]


def write_study(folder: Path, runs: Sequence[FoundRun]) -> Path:
    """Write tables, figures and page of a study from its finished runs; return the page.

    The folder's ``figures.py`` may have ``FIGURES``, a function of the :class:`Study` for each name of a file;
    ``PICTURES``, for the name of a file the conditions of one run and the name of the figure in its directory that is
    copied; ``CURVES``, names of curves to keep for each epoch; and ``with_more``, which gets the tables of runs and of
    curves and returns the first one with more columns.

    Raises:
        UserError: the page claims what the runs do not bear, or asks for what is not there.
    """
    drawn = _figures(folder)
    write_tables(folder, runs, getattr(drawn, "CURVES", ()), getattr(drawn, "with_more", None))
    study = Study.read(folder)
    for name, draw in getattr(drawn, "FIGURES", {}).items():
        write_atomically(folder / name, _png(draw(study)))
    directories = {run.name: run.directory for run in runs}
    for name, (conditions, figure) in getattr(drawn, "PICTURES", {}).items():
        run = study.runs(conditions)["run"].iloc[0]
        write_atomically(folder / name, (directories[run] / "figures" / figure).read_bytes())
    page = folder / PAGE
    write_atomically(page, page_text(study).encode())
    return page


def _figures(folder: Path) -> ModuleType:
    """Return the module that draws the figures; an empty one where the folder has none."""
    path = folder / FIGURES
    module = ModuleType(f"figures_of_{folder.name}")
    if path.exists():
        SourceFileLoader(module.__name__, str(path)).exec_module(module)
    return module


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI)
    return content.getvalue()


def page_text(study: Study) -> str:
    """Return the page: question, command, what ``page.md`` says with its numbers, time and machine."""
    head = [f"# {study.name}", f"**Question.** {study.question}", _commands(study)]
    if study.frame.empty:
        return "\n\n".join([*head, NOT_RUN]) + "\n"
    return "\n\n".join([*head, _words(study), _time(study)]) + "\n"


def _words(study: Study) -> str:
    path = study.folder / TEMPLATE
    source = path.read_text(encoding="utf-8").strip()
    found = tuple(re.findall(r"^## (.+)$", source, re.MULTILINE))
    if found != SECTIONS:
        reason = f"{path}: its sections are {', '.join(found)}; they must be {', '.join(SECTIONS)}"
        raise UserError(reason, Code.INVALID, [path])
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701 (no HTML)
    return environment.from_string(source).render(**Words(study).functions())


def _commands(study: Study) -> str:
    path = study.folder / COMMANDS
    lines = [f"    {line}" for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    return "\n\n".join(
        [f"**Command.** `make experiments/{study.name}`, which continues where it was stopped:", "\n".join(lines)]
    )


def _time(study: Study) -> str:
    frame = study.frame
    hours = frame["seconds"].sum() / 3600
    told = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.0f} minutes"
    machines = ", ".join(dict.fromkeys(frame["machine"].dropna())) or "not told"
    return (
        f"## Time and machine\n\n{len(frame)} runs, {told} of training in all, one beside the other; machine: "
        f"{machines}. Means are over seeds, ± the standard error of the mean (none where all seeds agree); test "
        "images, nats per image."
    )


def finding_of(folder: Path) -> str:
    """Return the one line that the contents page has of a study: the first of its section "Finding"."""
    text = (folder / PAGE).read_text(encoding="utf-8")
    found = re.search(r"^## Finding\n\n(.+?)(?:\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    return " ".join(found[1].split()) if found else NOT_RUN
