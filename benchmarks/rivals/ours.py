"""Ours: the command ``vae-train`` itself, with all that a normal run has, and a clock among its callbacks.

The clock comes in by the config, as any part from outside: ``trainer._target_=benchmarks.rivals.ours.clocked_trainer``.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

from benchmarks.rivals.gate import Gate
from vae_lightning.callbacks import Saving, UnitMonitor
from vae_lightning.runs.trainer import make_trainer

TEST_PASS, MONITOR, SAVING = "test pass", "unit monitor", "checkpoint"


class Clock(Callback):
    """Waits for a turn before each epoch; times the training, the pass over held-out images, monitor and checkpoint."""

    def __init__(self, others: Sequence[Callback]) -> None:
        self.gate = Gate()
        for callback in others:
            if isinstance(callback, UnitMonitor):
                self._time(callback, "on_validation_end", TEST_PASS, MONITOR)
            elif isinstance(callback, Saving):
                self._time(callback, "on_train_epoch_end", "others", SAVING)

    def _time(self, callback: Callback, hook: str, before: str, inside: str) -> None:
        """Time a callback's hook, and what comes before it."""
        untimed: Callable[..., None] = getattr(callback, hook)

        def timed(*arguments: Any) -> None:
            self.gate.note(before)
            untimed(*arguments)
            self.gate.note(inside)

        setattr(callback, hook, timed)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.gate.wait()

    def on_validation_start(self, trainer: Trainer, pl_module: Any) -> None:
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize()
        self.gate.note()


@wraps(make_trainer)  # with its signature, by which the config is checked
def clocked_trainer(run_directory: Path, callbacks: Sequence[Callback], smoke: bool, **settings: Any) -> Trainer:
    """Return the Trainer of a run, with a clock."""
    return make_trainer(run_directory, [*callbacks, Clock(callbacks)], smoke, **settings)
