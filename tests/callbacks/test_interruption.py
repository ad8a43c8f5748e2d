"""Ctrl-C waits for the end of a batch, and everything is as it was afterwards."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from vae_lightning import training
from vae_lightning.callbacks import UnitMonitor
from vae_lightning.runs.curves import read_curves
from vae_lightning.runs.identity import identify


class PressesCtrlC(UnitMonitor):
    """Interrupts in the middle of a batch, where Python itself would raise at once."""

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == 12:
            os.kill(os.getpid(), signal.SIGINT)
            self.went_on = True


def test_the_batch_in_hand_ends_first(tiny: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGINT)
    pressing = PressesCtrlC()
    monkeypatch.setattr(training, "UnitMonitor", lambda: pressing)
    config = tiny("trainer.log_every_n_steps=1")
    with pytest.raises(KeyboardInterrupt):
        training.train(config)
    assert pressing.went_on
    steps = [line["step"] for line in read_curves(identify(config).directory) if "train/loss" in line]
    assert max(steps) >= 11
    monkeypatch.undo()
    signal.signal(signal.SIGINT, before)  # Lightning ignores it from the first one on
    results = training.train(config)
    assert results["steps"] == 30
    assert signal.getsignal(signal.SIGINT) == before


def test_a_training_that_ends_by_itself_hands_the_signal_back(tiny: Callable[..., dict[str, Any]]) -> None:
    before = signal.getsignal(signal.SIGINT)
    training.train(tiny("trainer.max_epochs=1"))
    assert signal.getsignal(signal.SIGINT) == before
