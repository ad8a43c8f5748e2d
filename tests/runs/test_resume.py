"""A longer run may begin where a shorter one of the same config stopped, if it is then what it would be anyway."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from faults_in_training import cut_power

from vae_lightning.errors import Code, UserError
from vae_lightning.runs.comparison import run_differences
from vae_lightning.runs.curves import read_curves
from vae_lightning.runs.directory import checkpoints
from vae_lightning.runs.identity import identify
from vae_lightning.training import train

Config = dict[str, Any]


def folder_of(config: Config) -> Path:
    return identify(config).directory


def test_a_run_that_is_extended_is_the_longer_run(
    tiny: Callable[..., Config], finished: Callable[..., Config], tmp_path: Path
) -> None:
    choices = ["beta_schedule=linear", "beta_schedule.length=3 epochs", "lr_schedule=staircase"]
    choices += ["lr_schedule.length=40 epochs"]
    short = folder_of(finished(*choices))
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


def test_an_extension_goes_on_from_its_own_checkpoint_and_needs_the_shorter_run_no_longer(
    tiny: Callable[..., Config], finished: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> None:
    short = folder_of(finished())
    extended = tiny("trainer.max_epochs=3", f"resume_from={short}")
    train(extended)
    shutil.rmtree(short)
    (folder_of(extended) / "results.json").unlink()
    capsys.readouterr()
    assert train(extended)["steps"] == 45
    assert f"45 from {checkpoints(folder_of(extended))[-1]}" in capsys.readouterr().out


LONGER = "trainer.max_epochs=4"
REFUSED = {
    "no run": ([], [LONGER], "nowhere", Code.NOT_FOUND, ""),
    "another weight": ([], ["kl_weight=2", LONGER], "", Code.CHANGED, "kl_weight"),
    "no longer": ([], ["trainer.max_epochs=1"], "", Code.INVALID, "trainer.max_epochs"),
    "a schedule that follows the length": (
        ["beta_schedule=linear", "beta_schedule.length=0.5"], [LONGER], "", Code.INCOMPATIBLE, "beta_schedule"
    ),
    "a rate that follows it": (["lr_schedule=cosine"], [LONGER], "", Code.INCOMPATIBLE, "lr_schedule"),
    "a capacity that follows it": (["objective=capacity"], [LONGER], "", Code.INCOMPATIBLE, "objective.growth"),
}  # fmt: skip


@pytest.mark.parametrize(("choices", "changes", "where", "code", "key"), REFUSED.values(), ids=REFUSED.keys())
def test_another_beginning_is_refused_before_anything_is_written(
    choices: list[str], changes: list[str], where: str, code: Code, key: str,
    tiny: Callable[..., Config], finished: Callable[..., Config],
) -> None:  # fmt: skip
    extended = tiny(*choices, *changes, f"resume_from={folder_of(finished(*choices)) / where}")
    with pytest.raises(UserError) as refused:
        train(extended)
    assert refused.value.code == code
    assert refused.value.about == ("resume_from", *([key] if key else []))
    assert not folder_of(extended).exists()


def test_the_rate_of_the_next_step_counts_too(tiny: Callable[..., Config]) -> None:
    """Stop at step 8, where the second of two stages begins in 30 steps; in 45 it begins at step 12."""
    choices = ["lr_schedule=staircase", "lr_schedule.n_stages=2", "save_every_n_steps=8"]
    cut_power(9, tiny(*choices))
    short = folder_of(tiny(*choices))
    assert [path.name for path in checkpoints(short)] == ["step000000008.ckpt"]
    with pytest.raises(UserError) as refused:
        train(tiny(*choices, "trainer.max_epochs=3", f"resume_from={short}"))
    assert (refused.value.code, refused.value.about) == (Code.INCOMPATIBLE, ("resume_from", "lr_schedule"))


@pytest.mark.parametrize("step", [10, 14, 15, 20])
def test_a_checkpoint_of_an_earlier_version_is_continued_as_if_nothing_had_happened(
    step: int, tiny: Callable[..., Config], finished: Callable[..., Config], tmp_path: Path
) -> None:
    """Version 0.3 counted batches where chunks are counted today: after ten, amid ten, after an epoch, in the next."""
    whole = shutil.move(folder_of(finished("lr_schedule=cosine")), tmp_path / "whole")
    begun = Path(__file__).parent / "interrupted_in_0_3" / f"step{step}"
    config = tiny("lr_schedule=cosine")
    (folder_of(config) / "checkpoints").mkdir(parents=True)
    shutil.copy(begun / f"step{step:09d}.ckpt", folder_of(config) / "checkpoints")
    shutil.copy(begun / "metrics.jsonl", folder_of(config))
    assert train(config)["steps"] == 30
    mine, other = (torch.load(checkpoints(each)[-1], weights_only=True) for each in (folder_of(config), whole))
    assert mine["global_step"] == other["global_step"]
    for name, weight in other["state_dict"].items():  # another machine's CPU rounded the first steps its own way
        torch.testing.assert_close(mine["state_dict"][name], weight, rtol=1e-4, atol=1e-6, msg=name)
    curves, of_whole = (read_curves(each) for each in (folder_of(config), whole))
    assert [line["step"] for line in curves] == [line["step"] for line in of_whole]
    elbos = [[line["train/elbo"] for line in lines if "train/elbo" in line] for lines in (curves, of_whole)]
    assert elbos[0] == pytest.approx(elbos[1], rel=1e-4)
