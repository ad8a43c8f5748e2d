"""The local curves: one JSON object a line, each with step and epoch. They are the truth; W&B is the window."""

import json
import math
import os
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from vae_lightning.errors import UserError
from vae_lightning.files import write_atomically

FILE_NAME = "metrics.jsonl"
CURVE_LINES = "curve_lines"
"""The key of a checkpoint under which lies how many lines of the curves were written before it."""


class JsonLinesLogger(Logger):
    """Appends every logged value to ``<run>/metrics.jsonl`` at once, lists included; a killed run loses nothing.

    Lightning's CSVLogger keeps values in memory between saves, has no room for one value per latent unit, and
    rewrites the file when a new column appears; hence this one.
    """

    def __init__(self, run_directory: Path) -> None:
        super().__init__()
        self.path = run_directory / FILE_NAME

    @property
    def name(self) -> str:
        return "local"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing to do: the resolved config lies beside the curves."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Append one line. A value that is not finite is written as null, which every JSON reader accepts."""
        values = {name: _plain(value) for name, value in metrics.items() if name != "epoch"}
        epoch = int(metrics.get("epoch", 0))
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"step": step, "epoch": epoch, **values}) + "\n")
        except OSError as error:
            error.filename = str(self.path)  # a write to an open file does not say which
            raise


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and isinstance(value, int) else number


def read_curves(run_directory: Path, n_lines: int | None = None) -> list[dict[str, Any]]:
    """Return the logged lines in order, or the first ``n_lines``; an unfinished last line (a killed run) is left out.

    Raises:
        UserError: a line cannot be read.
    """
    path = run_directory / FILE_NAME
    lines = path.read_bytes().split(b"\n")[:-1][:n_lines] if path.exists() else []
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(json.loads(line))
        except ValueError as error:
            raise UserError(f"{path}: line {number} cannot be read ({error}); rerun=true trains afresh") from error
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
    """Keep the first ``n_lines``, those before a checkpoint; the run that continues there writes the others again.

    With ``source`` they are those of another run, which this one goes on from.

    Raises:
        UserError: the curves have fewer lines than that.
    """
    lines = read_curves(source or run_directory, n_lines)  # a power cut may have spoiled those after it
    if len(lines) < n_lines:
        raise UserError(
            f"{(source or run_directory) / FILE_NAME}: has {len(lines)} whole lines, where the checkpoint was written "
            f"after {n_lines}; rerun=true trains afresh and keeps what is there aside"
        )
    write_atomically(run_directory / FILE_NAME, "".join(json.dumps(line) + "\n" for line in lines).encode())
