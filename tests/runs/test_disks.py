"""Disks that are full or read-only: a clear error, and the last good checkpoint goes on."""

import errno
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faults_in_training import AfterStep, train_with

from vae_lightning.errors import Code, UserError
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
    finished: Callable[..., Config], tmp_path: Path
) -> None:
    config = finished("save_every_n_steps=4")
    folder = identify(config).directory
    untouched = shutil.move(folder, tmp_path / "untouched")
    with pytest.raises(UserError) as refused:
        train_with(AfterStep(10, lambda: limited(3_000)), config)
    full = folder / "checkpoints" / "step000000012.ckpt"
    assert (refused.value.code, refused.value.about) == (Code.CANNOT_WRITE, (str(full),))
    assert str(checkpoints(folder)[-1]) in str(refused.value)  # the last good one is named
    assert [path.name for path in checkpoints(folder)] == ["step000000004.ckpt", "step000000008.ckpt"]
    assert sorted((folder / "checkpoints").iterdir()) == checkpoints(folder)
    limited(resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    train(config)
    assert run_differences(folder, untouched) == []


def test_a_full_disk_is_told_and_nothing_good_is_lost(configure: Callable[..., Config], small_disk: Path) -> None:
    """Fill it with digits of 28x28: two checkpoints of their linear model are too large for what is left."""
    config = configure("data=digits", "model=linear", "latent_dim=3", "save_every_n_steps=4", f"runs_dir={small_disk}")
    (small_disk / "filler").write_bytes(bytes(260_000))
    with pytest.raises(UserError) as refused:
        train(config)
    assert refused.value.code == Code.CANNOT_WRITE
    folder = identify(config).directory
    for path in checkpoints(folder):
        load_checkpoint(path)
    assert not (folder / "results.json").exists()


def test_a_read_only_disk_is_told_before_anything_starts(tiny: Callable[..., Config], small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    config = tiny(f"runs_dir={small_disk}/runs")
    with pytest.raises(UserError) as refused:
        train(config)
    assert refused.value.code == Code.CANNOT_WRITE
    assert refused.value.about == ("runs_dir", str(identify(config).directory))


@pytest.mark.usefixtures("_limit_is_lifted_again")
def test_curves_that_find_no_room_are_named(tmp_path: Path) -> None:
    logger = JsonLinesLogger(tmp_path)
    logger.log_metrics({"a": 1.0}, 0)
    limited(100)
    logger.log_metrics({"a": 1.0}, 1)
    with pytest.raises(OSError) as refused:  # noqa: PT011 (its number and file are asserted)
        logger.log_metrics({"a": 1.0}, 2)
    assert (refused.value.errno, Path(refused.value.filename).name) == (errno.EFBIG, "metrics.jsonl")
    assert [line["step"] for line in read_curves(tmp_path)] == [0, 1]  # what is torn is left out
    with pytest.raises(OSError) as refused:  # noqa: PT011 (its number and file are asserted)
        write_results(tmp_path, {"a": "b" * 100})
    assert (refused.value.errno, Path(refused.value.filename).name) == (errno.EFBIG, "results.json")
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]
