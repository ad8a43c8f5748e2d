"""A longer run may begin where a shorter one of the same config stopped, if it is then what it would be anyway."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vae_lightning.callbacks import UnitMonitor
from vae_lightning.errors import UserError
from vae_lightning.runs.comparison import run_differences
from vae_lightning.runs.directory import checkpoints
from vae_lightning.runs.identity import identify
from vae_lightning.training import train

Config = dict[str, Any]


def folder_of(config: Config) -> Path:
    return identify(config).directory


def test_a_run_that_is_extended_is_the_longer_run(tiny: Callable[..., Config], tmp_path: Path) -> None:
    choices = ["beta_schedule=linear", "beta_schedule.length=3 epochs", "lr_schedule=staircase"]
    choices += ["lr_schedule.length=40 epochs"]
    train(tiny(*choices))
    short = folder_of(tiny(*choices))
    before = {path: path.read_bytes() for path in short.rglob("*") if path.is_file()}
    longer = tiny(*choices, "trainer.max_epochs=4")
    train(longer)
    whole = shutil.move(folder_of(longer), tmp_path / "whole")
    extended = tiny(*choices, "trainer.max_epochs=4", f"resume_from={short}")
    assert folder_of(extended) == folder_of(longer)  # where it begins does not decide the result
    results = train(extended)
    assert (results["epochs"], results["steps"]) == (4, 60)
    assert run_differences(folder_of(extended), whole) == []
    assert {path: path.read_bytes() for path in short.rglob("*") if path.is_file()} == before


def test_an_extension_that_was_interrupted_goes_on_from_its_own_checkpoint(
    tiny: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> None:
    train(tiny("trainer.max_epochs=1"))
    extended = tiny("trainer.max_epochs=3", f"resume_from={folder_of(tiny('trainer.max_epochs=1'))}")
    train(extended)
    (folder_of(extended) / "results.json").unlink()
    capsys.readouterr()
    train(extended)
    assert f"continuing after step 45 from {checkpoints(folder_of(extended))[-1]}" in capsys.readouterr().out


LONGER = "trainer.max_epochs=4"
REFUSED = {
    "no run": ([], [LONGER], "nowhere", r"resume_from=.*nowhere: not a run directory"),
    "another weight": (
        [],
        ["kl_weight=2", LONGER],
        "",
        r"differs in more than its length\n  kl_weight: 1.0 there, 2.0 here",
    ),
    "no longer": (
        [],
        ["trainer.max_epochs=1"],
        "",
        r"has trainer.max_epochs=2; more than that can be asked for, not 1",
    ),
    "a schedule that follows the length": (
        ["beta_schedule=linear", "beta_schedule.length=0.5"],
        [LONGER],
        "",
        r"beta_schedule depends on how long a run is. At step 1 it was 0.0666667 there and is 0.0333333 in a run of 4",
    ),
    "a rate that follows it": (["lr_schedule=cosine"], [LONGER], "", r"lr_schedule depends on how long"),
    "a capacity that follows it": (["objective=capacity"], [LONGER], "", r"objective.growth depends on how long"),
}


@pytest.mark.parametrize(("choices", "changes", "where", "told"), REFUSED.values(), ids=REFUSED.keys())
def test_another_beginning_is_refused_before_anything_is_written(
    choices: list[str], changes: list[str], where: str, told: str, tiny: Callable[..., Config]
) -> None:
    train(tiny(*choices))
    extended = tiny(*choices, *changes, f"resume_from={folder_of(tiny(*choices)) / where}")
    with pytest.raises(UserError, match=told):
        train(extended)
    assert not folder_of(extended).exists()


def test_the_rate_of_the_next_step_counts_too(tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped at step 8, where the second of two stages begins in 30 steps; in 45 it begins at step 12."""
    choices = ["lr_schedule=staircase", "lr_schedule.n_stages=2", "save_every_n_steps=8"]

    def power_cut(_: Any, trainer: Any, *__: Any) -> None:
        if trainer.global_step == 9:
            raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(UnitMonitor, "on_train_batch_end", power_cut, raising=False)
        with pytest.raises(ConnectionError):
            train(tiny(*choices))
    short = folder_of(tiny(*choices))
    assert [path.name for path in checkpoints(short)] == ["step000000008.ckpt"]
    with pytest.raises(UserError, match=r"lr_schedule depends on how long a run is. At step 8 it was"):
        train(tiny(*choices, "trainer.max_epochs=3", f"resume_from={short}"))


def test_the_shorter_run_is_needed_for_the_beginning_only(tiny: Callable[..., Config]) -> None:
    train(tiny("trainer.max_epochs=1"))
    short = folder_of(tiny("trainer.max_epochs=1"))
    extended = tiny(f"resume_from={short}")
    train(extended)
    shutil.rmtree(short)
    (folder_of(extended) / "results.json").unlink()
    assert train(extended)["steps"] == 30
