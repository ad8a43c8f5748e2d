"""The contents page of a lab notebook: words by hand in ``contents.md``, the findings from the studies' own pages."""

from pathlib import Path

from jinja2 import Environment, StrictUndefined

from vae_lightning.errors import Code, UserError
from vae_lightning.files import write_atomically
from vae_lightning.report.study import Study
from vae_lightning.report.study_page import COMMANDS, PAGE, finding_of, page_text

TEMPLATE = "contents.md"


def write_contents(notebook: Path) -> Path | None:
    """Write the contents page of a notebook that has a ``contents.md``; return it, None where there is none.

    A study without a page gets one that says it was not run.
    """
    if not (notebook / TEMPLATE).exists():
        return None
    for study in (commands.parent for commands in notebook.glob(f"*/{COMMANDS}")):
        if not (study / PAGE).exists():
            write_atomically(study / PAGE, page_text(Study.read(study)).encode())
    write_atomically(notebook / PAGE, contents_text(notebook).encode())
    return notebook / PAGE


def contents_text(notebook: Path) -> str:
    """Return the contents page: ``{{ line("NAME") }}`` in the words stands for a study's link and its finding.

    Raises:
        UserError: ``MISSING`` where a study is not in it.
    """
    named = []

    def line(name: str) -> str:
        named.append(name)
        page = notebook / name / PAGE
        return f"[{name}]({name}/{PAGE}): {finding_of(page.parent) if page.exists() else 'not run so far.'}"

    path = notebook / TEMPLATE
    text = Environment(undefined=StrictUndefined, autoescape=False).from_string(  # noqa: S701 (no HTML)
        path.read_text(encoding="utf-8")
    )
    found = text.render(line=line)
    if missing := sorted({each.parent.name for each in notebook.glob(f"*/{COMMANDS}")} - set(named)):
        raise UserError(f"{path}: does not name {', '.join(missing)}", Code.MISSING, [path])
    return found.rstrip() + "\n"
