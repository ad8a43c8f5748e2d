"""Data flow one way: a room imports only from rooms above it, in the order of the table in docs/architecture.md."""

import ast
import re
from pathlib import Path

import pytest

import vae_lightning

PACKAGE = Path(vae_lightning.__file__).parent
PAGE = Path(__file__).parent.parent / "docs" / "architecture.md"


def rooms_of_the_table() -> list[str]:
    """Return the rooms in the order of the table; a cell may name several."""
    cells = re.findall(r"^\| (`vae_lightning/.*?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    names = [name.removeprefix("vae_lightning/") for cell in cells for name in re.findall(r"`(.*?)`", cell)]
    return [name.removesuffix("/").removesuffix(".py") for name in names]


HOUSE = rooms_of_the_table()


def rooms_imported(source: str) -> set[str]:
    """Return the rooms that some code imports from, also by ``from vae_lightning import room``."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    rooms = {name.split(".")[1] for name in found if name.startswith("vae_lightning.")}
    return rooms & set(HOUSE)


@pytest.mark.parametrize(
    "source",
    ["import vae_lightning.sweeps.pool", "from vae_lightning.sweeps import pool", "from vae_lightning import sweeps"],
)
def test_an_import_is_seen_however_it_is_written(source: str) -> None:
    assert rooms_imported(source) == {"sweeps"}


def test_every_room_is_in_the_table_once() -> None:
    there = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert sorted(HOUSE) == sorted(there - {"__init__"})


def test_every_room_imports_from_above_only() -> None:
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if room == "__init__":
            continue
        below = {other for other in rooms_imported(path.read_text()) if HOUSE.index(other) > HOUSE.index(room)}
        assert not below, f"{path.relative_to(PACKAGE)} imports from {below}"
