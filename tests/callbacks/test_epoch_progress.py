"""The bar and the lines of a training, without one: a trainer of plain values and a clock that is set by hand."""

import io
import threading
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from lightning.pytorch import Trainer
from rich.console import Console
from rich.progress import Progress

from vae_lightning.callbacks import EpochProgress
from vae_lightning.module import VAE

N_BATCHES = 100


class Clock:
    """A clock that stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def trainer(**changed: Any) -> Any:
    plain = {"is_global_zero": True, "global_step": N_BATCHES + 1, "current_epoch": 1, "max_epochs": 3}
    return Mock(spec=Trainer, **plain | changed)


def model(split: str = "test") -> Any:
    found = {"elbo": -486.73, "kl": 4.47, "active_units": 2}
    evaluation = SimpleNamespace(scalars=lambda: found)
    latest = {"train/elbo": -500.0, "train/kl": 4.25, "test/active_units": 2.0}
    facts = {"latent_dim": 5, "steps_per_epoch": N_BATCHES, "latest": latest}
    return Mock(spec=VAE, evaluation=evaluation, data=SimpleNamespace(curve_split=split), **facts)


def test_the_bar_is_drawn_at_most_twice_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    update = Progress.update

    def recorded(self: Progress, *arguments: Any, completed: int, **rest: Any) -> None:
        drawn.append(completed)
        update(self, *arguments, completed=completed, **rest)

    monkeypatch.setattr(Progress, "update", recorded)
    clock, output = Clock(), io.StringIO()
    progress = EpochProgress(Console(file=output, force_terminal=True, width=100), clock)
    threads = threading.active_count()
    progress.on_train_start(trainer(), model())
    assert threading.active_count() == threads
    for batch in range(N_BATCHES):
        clock.now = 2 * (batch + 1) / N_BATCHES  # two seconds in all
        progress.on_step_end(trainer(global_step=N_BATCHES + batch + 1), model())
    progress.on_train_end(trainer(), model())
    assert drawn == [25, 50, 75, 100]
    assert "-500.0" in output.getvalue()
    assert "4.25" in output.getvalue()


def test_an_epoch_leaves_one_plain_line_where_there_is_no_terminal() -> None:
    clock, output = Clock(), io.StringIO()
    progress = EpochProgress(Console(file=output, width=20), clock)
    progress.on_train_start(trainer(), model())
    progress.on_step_end(trainer(), model())
    clock.now = 6.1
    progress.on_train_epoch_end(trainer(), model())
    progress.on_train_end(trainer(), model())
    [line] = output.getvalue().splitlines()
    assert {"2/3", "test", "-486.73", "4.47", "2/5", "6.1"} <= set(line.split())


def test_other_ranks_say_nothing() -> None:
    output = io.StringIO()
    progress = EpochProgress(Console(file=output), Clock())
    progress.on_train_start(trainer(is_global_zero=False), model())
    progress.on_train_epoch_end(trainer(is_global_zero=False), model())
    assert output.getvalue() == ""


def test_an_error_takes_the_bar_away() -> None:
    progress = EpochProgress(Console(file=io.StringIO(), force_terminal=True), Clock())
    progress.on_train_start(trainer(), model())
    progress.on_exception(trainer(), model(), ValueError())
    assert progress.progress is None
