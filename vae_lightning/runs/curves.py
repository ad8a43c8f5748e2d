"""The local curves: one JSON object a line, each with step and epoch. They are the truth; W&B is the window."""

import json
import math
import os
from pathlib import Path
from typing import Any

from vae_lightning.diagnostics import still_falling
from vae_lightning.errors import Code, UserError
from vae_lightning.estimates import Mean
from vae_lightning.files import write_atomically

FILE_NAME = "metrics.jsonl"
WEIGHT_AT_THE_END = 1e-2
"""How far, relatively, a weight may be from the one in force at the end to be the same."""
CURVE_LINES = "curve_lines"
"""The key of a checkpoint under which lies how many lines of the curves were written before it."""


def read_curves(run_directory: Path, n_lines: int | None = None) -> list[dict[str, Any]]:
    """Return the logged lines in order, or the first ``n_lines``; an unfinished last line (a killed run) is left out.

    Raises UserError where a line cannot be read.
    """
    path = run_directory / FILE_NAME
    lines = path.read_bytes().split(b"\n")[:-1][:n_lines] if path.exists() else []
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(json.loads(line))
        except ValueError as error:
            reason = f"{path}: line {number} cannot be read ({error}); rerun=true trains afresh"
            raise UserError(reason, Code.DAMAGED, [path]) from error
    return found


def durable_lines(run_directory: Path) -> int:
    """Flush the curves to the disk; return how many lines they have."""
    path = run_directory / FILE_NAME
    if not path.exists():
        return 0
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
        return sum(1 for _ in stream)


def continue_curves(run_directory: Path, n_lines: int, source: Path | None = None) -> None:
    """Keep the first ``n_lines``, those before a checkpoint, of this run or of the shorter one that it continues.

    Raises UserError where the curves have fewer lines than that.
    """
    lines = read_curves(source or run_directory, n_lines)  # a power cut may have spoiled those after it
    if len(lines) < n_lines:
        path = (source or run_directory) / FILE_NAME
        reason = f"{path}: has {len(lines)} whole lines, the checkpoint is of {n_lines}; rerun=true trains afresh"
        raise UserError(reason, Code.CHANGED, [path])
    write_atomically(run_directory / FILE_NAME, "".join(json.dumps(line) + "\n" for line in lines).encode())


def falling_of(run_directory: Path, kl_weight: float, price: float) -> Mean | None:
    """Return what as much training again would bring of the loss at the final KL weight, by a run's training curves.

    Only what was trained at that weight counts. None where that is too little, where a nat has no price in the loss, or
    where the curves are damaged, which costs no other number.
    """
    if not math.isfinite(price):
        return None
    try:
        curves = read_curves(run_directory)
    except UserError:
        return None
    at_the_end: list[float] = []
    for line in curves:
        values: list[Any] = [line.get(f"train/{name}") for name in ("distortion", "kl", "kl_weight")]
        if None not in values and math.isclose(values[2], kl_weight, rel_tol=WEIGHT_AT_THE_END):
            at_the_end.append(values[0] + price * values[1])
    return still_falling(at_the_end)
