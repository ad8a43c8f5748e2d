"""Faults at a chosen step of a training, planted through a callback of their own."""

from collections.abc import Callable
from typing import Any

import pytest
from lightning.pytorch import Callback, Trainer

from vae_lightning import training

Config = dict[str, Any]


class AfterStep(Callback):
    """A callback that does something once, right after a step and before anything is saved."""

    def __init__(self, step: int, action: Callable[[], None]) -> None:
        self.step, self.action = step, action

    def on_step_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            self.action()


def train_with(callback: Callback, config: Config) -> dict[str, Any]:
    """Train with one callback more than usual, which comes before the others."""
    build_trainer = training.build_trainer  # type: ignore[attr-defined]  # imported there

    def with_one_more(config: Any, folder: Any, callbacks: Any, *rest: Any) -> Trainer:
        return build_trainer(config, folder, [callback, *callbacks], *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "build_trainer", with_one_more)
        return training.train(config)


def cut_power(step: int, config: Config) -> None:
    """Train until a step, and stop there without a chance to save."""

    def cut() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        train_with(AfterStep(step, cut), config)
