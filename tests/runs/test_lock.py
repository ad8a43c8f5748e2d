"""One process at a time, and the config that the directory was begun with."""

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from vae_lightning import __version__
from vae_lightning.config import checked
from vae_lightning.errors import Code, UserError
from vae_lightning.runs.directory import read_config, read_results, write_results
from vae_lightning.runs.identity import settings
from vae_lightning.runs.lock import locked_run
from vae_lightning.runs.run_config import RunConfig
from vae_lightning.runs.saved_config import check_fingerprint, check_unchanged

Config = dict[str, Any]


@pytest.fixture
def config(configure: Callable[..., Config]) -> RunConfig:
    return checked(configure("kl_weight=1.0", "likelihood=bernoulli"))


def refuse_to_tell(line: str) -> None:
    pytest.fail(line)


def in_another_process(config: RunConfig, dies: bool = False) -> str:
    """Return what another process, which is a fork of this one, says of a run that it wants to own."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with locked_run(config, lambda _: None):
                os.write(writing, b"mine")
                if dies:
                    os.kill(os.getpid(), signal.SIGKILL)
        except UserError as error:
            os.write(writing, " ".join([error.code, *error.about]).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        return pipe.read()


def test_a_second_process_leaves_a_run_alone(config: RunConfig) -> None:
    with locked_run(config, refuse_to_tell):
        assert in_another_process(config) == f"{Code.LOCKED} {config.directory}"
    assert in_another_process(config) == "mine"


def test_the_lock_of_a_killed_process_is_no_obstacle(config: RunConfig) -> None:
    assert in_another_process(config, dies=True) == "mine"
    with locked_run(config, refuse_to_tell):
        pass


EDITS = {
    "by hand": (lambda saved: saved | {"kl_weight": 2.0}, "kl_weight"),
    "deep inside": (lambda saved: saved | {"optimizer": saved["optimizer"] | {"lr": 0.01}}, "optimizer.lr"),
    "a key is gone": (lambda saved: {key: value for key, value in saved.items() if key != "seed"}, "seed"),
}


@pytest.mark.parametrize(("edit", "key"), EDITS.values(), ids=EDITS.keys())
def test_a_directory_with_another_config_is_refused_with_the_difference(
    edit: Callable[[Config], Config], key: str, config: RunConfig
) -> None:
    with locked_run(config, refuse_to_tell):
        pass
    path = config.directory / "config.yaml"
    edited = yaml.safe_dump(edit(read_config(config.directory)))
    path.write_text(edited)
    with pytest.raises(UserError) as refused, locked_run(config, refuse_to_tell):
        pytest.fail("taken")
    assert (refused.value.code, refused.value.about) == (Code.CHANGED, (str(path), key))
    assert path.read_text() == edited
    told_of: list[str] = []
    with locked_run(config.changed(rerun=True), told_of.append):
        assert read_config(config.directory)["kl_weight"] == 1.0
    [kept] = [folder for folder in config.directory.parent.iterdir() if folder != config.directory]
    assert str(kept) in told_of[0]


def test_what_decides_nothing_may_change(config: RunConfig) -> None:
    with locked_run(config, refuse_to_tell):
        pass
    elsewhere = config.changed(trainer={**config.trainer, "accelerator": "cuda", "devices": 8}, kl_weight=1)
    check_unchanged(config.directory, elsewhere)
    with locked_run(elsewhere, refuse_to_tell):
        assert read_config(config.directory)["trainer"]["devices"] == 8


def test_a_config_is_held_against_the_fingerprint_that_it_carries(config: RunConfig, tmp_path: Path) -> None:
    saved = config.plain()
    check_fingerprint(tmp_path, saved)
    saved_in = str(tmp_path / "config.yaml")
    with pytest.raises(UserError) as refused:
        check_fingerprint(tmp_path, {**saved, "run": None})
    assert (refused.value.code, refused.value.about) == (Code.CHANGED, (saved_in,))
    edited = {**saved, "seed": 5}
    with pytest.raises(UserError) as refused:
        check_fingerprint(tmp_path, edited)
    assert (refused.value.code, refused.value.about) == (Code.CHANGED, (saved_in,))
    assert config.fingerprint in str(refused.value)
    found = read_results(next((Path(__file__).parent / "of_0_3").iterdir()))
    write_results(tmp_path, {**(found or {}), "settings": settings(saved)})
    with pytest.raises(UserError) as refused:
        check_fingerprint(tmp_path, edited)
    assert (refused.value.code, refused.value.about) == (Code.CHANGED, (saved_in, "seed"))


def test_curves_with_other_steps_are_not_gone_on_with(config: RunConfig) -> None:
    with locked_run(config, refuse_to_tell):
        (config.directory / "checkpoints" / "step000000005.ckpt").touch()
    other = config.changed(trainer={**config.trainer, "log_every_n_steps": 7})
    check_unchanged(config.directory, other)  # a finished run is shown
    with pytest.raises(UserError) as refused, locked_run(other, refuse_to_tell):
        pytest.fail("taken")
    assert refused.value.code == Code.CHANGED
    assert refused.value.about[1:] == ("trainer.log_every_n_steps",)


def test_what_killed_processes_were_writing_is_removed(config: RunConfig) -> None:
    left = [".config.yaml.123", "checkpoints/.step000000005.ckpt.77", ".metrics.jsonl.9"]
    kept = ["checkpoints/before-my-experiment.ckpt", "checkpoints/step000000005.ckpt.damaged", "notes.txt"]
    with locked_run(config, refuse_to_tell):
        for name in (*left, *kept):
            (config.directory / name).touch()
    with locked_run(config, refuse_to_tell):
        assert [name for name in (*left, *kept) if (config.directory / name).exists()] == kept


def test_another_version_shows_a_finished_run_and_goes_on_with_none(config: RunConfig) -> None:
    with locked_run(config, refuse_to_tell):
        pass
    path = config.directory / "config.yaml"
    path.write_text(path.read_text().replace(f"version: {__version__}", "version: 0.0.9"))
    check_unchanged(config.directory, config)
    (config.directory / "checkpoints" / "step000000005.ckpt").touch()
    with pytest.raises(UserError) as refused, locked_run(config, refuse_to_tell):
        pytest.fail("taken")
    assert (refused.value.code, refused.value.about) == (Code.CHANGED, (str(path), "run.version"))


@pytest.mark.parametrize("damage", [{"trainer": None}, {"model": "x"}, {"trainer": "cpu"}])
def test_a_damaged_config_is_told_by_its_differences(damage: dict[str, Any], config: RunConfig) -> None:
    with locked_run(config, refuse_to_tell):
        pass
    (config.directory / "config.yaml").write_text(yaml.safe_dump({**config.plain(), **damage}))
    with pytest.raises(UserError) as refused, locked_run(config, refuse_to_tell):
        pytest.fail("taken")
    assert refused.value.code == Code.CHANGED
    assert len(refused.value.about) > 1


def test_a_second_rerun_in_the_same_second_finds_a_name(config: RunConfig) -> None:
    again = config.changed(rerun=True)
    kept: list[str] = []
    for _ in range(4):
        with locked_run(again, kept.append):
            pass
    assert len(set(kept)) == 3


def test_where_nothing_can_be_written_the_folder_is_named(config: RunConfig, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    there = config.changed(runs_dir=str(tmp_path / "file"))
    with pytest.raises(UserError) as refused, locked_run(there, refuse_to_tell):
        pytest.fail("taken")
    assert (refused.value.code, refused.value.about) == (Code.CANNOT_WRITE, ("runs_dir", str(there.directory)))


def test_a_full_disk_leaves_the_earlier_config_whole(config: RunConfig) -> None:
    with locked_run(config, refuse_to_tell):
        before = read_config(config.directory)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, unlimited[1]))
    try:
        with pytest.raises(UserError) as refused, locked_run(config, refuse_to_tell):
            pytest.fail("taken")
        assert refused.value.code == Code.CANNOT_WRITE
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert read_config(config.directory) == before
