"""The number of threads of a run: the user's, the one it began with, or the quicker one."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from vae_lightning.assemble import build_data, build_model
from vae_lightning.config import checked
from vae_lightning.runs import threads
from vae_lightning.runs.checkpoints import THREADS, load_checkpoint
from vae_lightning.runs.directory import newest_checkpoint
from vae_lightning.runs.identity import identify
from vae_lightning.runs.threads import MOST_PAIRS, N_WARMING, quicker_threads, threads_of_run
from vae_lightning.training import train

Config = dict[str, Any]


@pytest.fixture(autouse=True)
def own_threads(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in threads.GIVEN_BY:
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("seconds", "quicker"),
    [
        ({1: 1.0, 4: 0.5}, 4),
        ({1: 1.0, 4: 2.0}, 1),
        ({1: 1.0, 4: 1.0}, 1),
        ({1: 1.0, 4: 0.97}, 1),
        ({1: 9.0, 4: 5.0}, 4),
    ],
)
def test_all_threads_are_taken_where_they_are_clearly_quicker(seconds: dict[int, float], quicker: int) -> None:
    now, taken = 0.0, []

    def step() -> None:
        nonlocal now
        taken.append(torch.get_num_threads())
        now += seconds[taken[-1]] / 100

    assert quicker_threads(step, 4, clock=lambda: now) == quicker
    assert torch.get_num_threads() == 4
    assert taken[2 * N_WARMING :: 2] == [1] * (len(taken) // 2 - N_WARMING)
    assert taken[2 * N_WARMING + 1 :: 2] == [4] * (len(taken) // 2 - N_WARMING)
    assert len(taken) <= 2 * (N_WARMING + MOST_PAIRS)


def test_the_users_number_and_that_of_a_continued_run_are_kept(
    tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "quicker_threads", lambda step, every: step() or 3)
    config = checked(tiny())
    data = build_data(config)
    model = build_model(config, data.image_shape)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert threads_of_run(model, data, None) == 3
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert threads_of_run(model, data, 2) == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert threads_of_run(model, data, 2) == 4


def test_a_run_that_is_continued_has_the_threads_of_its_checkpoint(
    tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "quicker_threads", lambda step, every: 2)
    train(tiny("trainer.max_epochs=1"), measure_threads=True)
    short = identify(tiny("trainer.max_epochs=1")).directory
    checkpoint = newest_checkpoint(short)
    assert checkpoint is not None
    assert load_checkpoint(checkpoint)[THREADS] == 2
    monkeypatch.setattr(threads, "quicker_threads", lambda step, every: 1)
    torch.set_num_threads(4)
    train(tiny(f"resume_from={short}"), measure_threads=True)
    assert torch.get_num_threads() == 2
