"""Data flow one way: a room imports only from rooms above it, in the order of the table in docs/architecture.md."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import vae_lightning

PACKAGE = Path(vae_lightning.__file__).parent
HOUSE = [
    "errors", "signals", "files", "terminal", "spelling", "inheritance", "estimates", "ranges", "conf_folder",
    "randomness", "ranks", "training_step", "data", "networks", "distributions", "objectives", "schedules",
    "optimizers", "theory", "plots", "combinations", "diagnostics", "library", "steps", "module", "evaluation", "runs",
    "callbacks", "report", "assemble", "config", "composing", "start_summary", "training", "evaluating",
    "forecasting", "verifying", "sweeps", "cli",
]  # fmt: skip


def modules_imported(source: str, package: str) -> Iterator[str]:
    """Name every module that a file of ``package`` imports, wherever in it: also for types only, or by its name.

    ``from vae_lightning import sweeps`` names ``vae_lightning.sweeps``, and so does ``from . import sweeps``.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = [*parents[: len(parents) + 1 - node.level]] if node.level else []
            base += [node.module] if node.module else []
            yield from (".".join([*base, alias.name]) for alias in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            if function in {"import_module", "__import__", "resolve_name"}:
                yield from (str(each.value) for each in node.args if isinstance(each, ast.Constant))


def rooms_imported(path: Path) -> set[str]:
    package = ".".join(["vae_lightning", *path.relative_to(PACKAGE).parent.parts])
    ours = (name.split(".") for name in modules_imported(path.read_text(), package))
    return {name[1] for name in ours if name[0] == "vae_lightning" and len(name) > 1 and name[1] in HOUSE}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize(
    "line",
    [
        "import vae_lightning.sweeps",
        "import vae_lightning.sweeps.pool as pool",
        "from vae_lightning import sweeps",
        "from vae_lightning.sweeps import pool",
        "from vae_lightning.sweeps.pool import Pool",
        "from .. import sweeps",
        "from ..sweeps.pool import Pool",
        "if TYPE_CHECKING:\n    from vae_lightning import sweeps",
        "def f():\n    import vae_lightning.sweeps",
        "importlib.import_module('vae_lightning.sweeps')",
    ],
)
def test_an_import_is_seen_in_every_spelling(line: str) -> None:
    assert any(name.startswith("vae_lightning.sweeps") for name in modules_imported(line, "vae_lightning.report"))


def test_every_file_is_in_a_room_of_the_house() -> None:
    assert {room_of(path) for path in FILES} - {"__main__"} == set(HOUSE)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_room_imports_from_above_only(path: Path) -> None:
    rooms = [*HOUSE, "__main__"]
    assert {room for room in rooms_imported(path) if rooms.index(room) > rooms.index(room_of(path))} == set()


def test_plots_take_arrays_and_import_nothing_of_ours() -> None:
    for path in (path for path in FILES if room_of(path) == "plots"):
        assert rooms_imported(path) <= {"plots"}, path


@pytest.mark.parametrize("room", ["training", "runs", "callbacks", "evaluation", "module"])
def test_a_training_imports_nothing_of_the_report(room: str) -> None:
    for path in (path for path in FILES if room_of(path) == room):
        assert "report" not in rooms_imported(path), path
