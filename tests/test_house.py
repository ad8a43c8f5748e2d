"""Data flow one way: a room imports only from rooms above it, in the order of the README's table."""

import ast
from pathlib import Path

import vae_lightning

PACKAGE = Path(vae_lightning.__file__).parent
HOUSE = [
    "errors", "files", "spelling", "terminal", "randomness", "ranks", "training_step", "data", "networks",
    "distributions", "objectives", "schedules", "optimizers", "theory", "plots", "combinations", "diagnostics",
    "module", "evaluation", "runs", "callbacks", "report", "config", "composing", "assemble", "training",
    "evaluating", "forecasting", "verifying", "sweeps", "cli",
]  # fmt: skip


def rooms_imported(path: Path) -> set[str]:
    names = [
        name
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else []
        )
    ]
    return {name.split(".")[1] for name in names if name.startswith("vae_lightning.")}


def test_every_room_imports_from_above_only() -> None:
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if room == "__init__":
            continue
        below = {other for other in rooms_imported(path) if HOUSE.index(other) > HOUSE.index(room)}
        assert not below, f"{path.relative_to(PACKAGE)} imports from {below}"
