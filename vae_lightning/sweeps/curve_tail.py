"""The progress of a run, from the curves that it writes."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vae_lightning.runs.curves import FILE_NAME


@dataclass
class CurveTail:
    """Reads what is new in a run's curves; ``values`` has the last value of each name."""

    run_directory: Path
    n_epochs: int
    clock: Callable[[], float] = time.monotonic
    values: dict[str, Any] = field(default_factory=dict)
    _offset: int = 0
    _first: tuple[float, int] | None = None
    """The time of the first update, and the step then."""
    _steps_per_epoch: float = 0.0

    def update(self) -> None:
        """Read the lines that were written since the last update."""
        path = self.run_directory / FILE_NAME
        try:
            if path.stat().st_size < self._offset:  # continued from a checkpoint, which shortens them
                self._offset = 0
            with path.open("rb") as stream:
                stream.seek(self._offset)
                lines = stream.read().splitlines(keepends=True)
        except OSError:
            return
        for line in lines:
            if line.endswith(b"\n"):
                self._offset += len(line)
                self._read(line)
        if self._first is None and "step" in self.values:  # what was there before is no measure of the pace
            self._first = (self.clock(), self.values["step"])

    def _read(self, line: bytes) -> None:
        try:
            values = json.loads(line)
        except ValueError:
            return
        if not isinstance(values, dict):
            return
        for name, value in values.items():
            self.values[name.partition("/")[2] or name] = value
        if any(name.endswith("/active_units") for name in values):  # the end of an epoch
            self._steps_per_epoch = (values["step"] + 1) / (values["epoch"] + 1)

    @property
    def epoch(self) -> str:
        return f"{self.values['epoch'] + 1}/{self.n_epochs}" if "epoch" in self.values else ""

    def number(self, name: str, digits: int) -> str:
        """Return the last value of a name as text; nothing where there is none yet."""
        value = self.values.get(name)
        return "" if value is None else f"{value:.{digits}f}"

    def seconds_left(self) -> float | None:
        """Return how long the training will still take at its pace; None before its first epoch is over."""
        if self._first is None or not self._steps_per_epoch:
            return None
        began, first = self._first
        done = self.values["step"] - first
        pace = done / (self.clock() - began) if done > 0 else 0
        left = self._steps_per_epoch * self.n_epochs - 1 - self.values["step"]
        return max(0.0, left) / pace if pace else None
