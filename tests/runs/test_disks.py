"""Disks that are full or read-only: a clear error, and the last good checkpoint goes on."""

import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vae_lightning.callbacks import UnitMonitor
from vae_lightning.errors import UserError
from vae_lightning.runs.checkpoints import load_checkpoint
from vae_lightning.runs.comparison import run_differences
from vae_lightning.runs.curve_logger import JsonLinesLogger
from vae_lightning.runs.curves import read_curves
from vae_lightning.runs.directory import checkpoints, write_results
from vae_lightning.runs.identity import identify
from vae_lightning.training import train

Config = dict[str, Any]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of half a megabyte: room for two checkpoints of the tiny model and not for four."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", place], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no right to mount a tmpfs here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def limited(number_of_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (number_of_bytes, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.fixture
def _limit_is_lifted_again() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("_limit_is_lifted_again")
def test_a_checkpoint_that_finds_no_room_leaves_the_last_good_one(
    tiny: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny("save_every_n_steps=4")
    train(config)
    folder = identify(config).directory
    untouched = shutil.move(folder, tmp_path / "untouched")

    def fills_up(_: Any, trainer: Any, *__: Any) -> None:
        if trainer.global_step == 10:
            limited(20_000)

    with monkeypatch.context() as patch:
        patch.setattr(UnitMonitor, "on_train_batch_end", fills_up, raising=False)
        with pytest.raises(
            UserError,
            match=r"step000000012.ckpt: cannot be saved \(File too large\)(.|\n)*good checkpoint is .*008.ckpt",
        ):
            train(config)
    assert [path.name for path in checkpoints(folder)] == ["step000000004.ckpt", "step000000008.ckpt"]
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == [
        path.name for path in checkpoints(folder)
    ]
    limited(resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    train(config)
    assert run_differences(folder, untouched) == []


def test_a_full_disk_is_told_and_nothing_good_is_lost(tiny: Callable[..., Config], small_disk: Path) -> None:
    config = tiny("save_every_n_steps=4", f"runs_dir={small_disk}")
    folder = identify(config).directory
    filler = small_disk / "filler"
    filler.write_bytes(bytes(260_000))
    with pytest.raises(UserError, match=r"cannot be saved \(No space left on device\)"):
        train(config)
    for path in checkpoints(folder):
        load_checkpoint(path)
    assert not (folder / "results.json").exists()


def test_a_read_only_disk_is_told_before_anything_starts(tiny: Callable[..., Config], small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(
        UserError, match=r"cannot write .*\(Read-only file system\); name a writable folder by runs_dir="
    ):
        train(tiny(f"runs_dir={small_disk}/runs"))


@pytest.mark.usefixtures("_limit_is_lifted_again")
def test_curves_that_find_no_room_are_named(tmp_path: Path) -> None:
    logger = JsonLinesLogger(tmp_path)
    logger.log_metrics({"a": 1.0}, 0)
    limited(100)
    logger.log_metrics({"a": 1.0}, 1)
    with pytest.raises(OSError, match=r"File too large: '.*metrics.jsonl'"):
        logger.log_metrics({"a": 1.0}, 2)
    assert [line["step"] for line in read_curves(tmp_path)] == [0, 1]  # what is torn is left out
    with pytest.raises(OSError, match=r"File too large: '.*results.json'"):
        write_results(tmp_path, {"a": "b" * 100})
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]
