"""Writes the local curves, one JSON object a line."""

import json
import math
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from vae_lightning.runs.curves import FILE_NAME


class JsonLinesLogger(Logger):
    """Appends every logged value to ``<run>/metrics.jsonl`` at once, lists included; a killed run loses nothing.

    Lightning's CSVLogger keeps values in memory between saves, and has no room for one value per latent unit.
    """

    name = "local"
    version = ""

    def __init__(self, run_directory: Path) -> None:
        super().__init__()
        self.path = run_directory / FILE_NAME

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the resolved config lies beside the curves."""

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
