"""One process at a time, and the config that the directory was begun with."""

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from vae_lightning.config import checked
from vae_lightning.errors import Code, UserError
from vae_lightning.runs.directory import read_config, write_results
from vae_lightning.runs.identity import identify
from vae_lightning.runs.lock import check_fingerprint, check_unchanged, locked_run

Config = dict[str, Any]


@pytest.fixture
def config(configure: Callable[..., Config]) -> Config:
    config = checked(configure("kl_weight=1.0", "likelihood=bernoulli"))
    return {**config, "run": identify(config).derived()}


def folder_of(config: Config) -> Path:
    return identify(config).directory


def refuse_to_tell(line: str) -> None:
    pytest.fail(line)


def test_a_second_process_leaves_a_run_alone(config: Config) -> None:
    program = f"""
from pathlib import Path
from vae_lightning.runs.lock import locked_run
from vae_lightning.errors import Code, UserError
try:
    with locked_run(Path({str(folder_of(config))!r}), {config!r}, print):
        print("mine")
except UserError as error:
    print(error.code, *error.about)
"""

    def other() -> str:
        return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    with locked_run(folder_of(config), config, refuse_to_tell):
        assert other() == f"{Code.LOCKED} {folder_of(config)}\n"
    assert other() == "mine\n"


def test_the_lock_of_a_killed_process_is_no_obstacle(config: Config) -> None:
    program = f"""
import os
from pathlib import Path
from vae_lightning.runs.lock import locked_run
with locked_run(Path({str(folder_of(config))!r}), {config!r}, print):
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    with locked_run(folder_of(config), config, refuse_to_tell):
        pass


EDITS = {
    "by hand": (lambda saved: saved | {"kl_weight": 2.0}, "kl_weight"),
    "deep inside": (lambda saved: saved | {"optimizer": saved["optimizer"] | {"lr": 0.01}}, "optimizer.lr"),
    "a key is gone": (lambda saved: {key: value for key, value in saved.items() if key != "seed"}, "seed"),
    "another version of this package": (lambda saved: saved | {"run": saved["run"] | {"version": "0.0.9"}}, "version"),
}


@pytest.mark.parametrize(("edit", "key"), EDITS.values(), ids=EDITS.keys())
def test_a_directory_with_another_config_is_refused_with_the_difference(
    edit: Callable[[Config], Config], key: str, config: Config
) -> None:
    with locked_run(folder_of(config), config, refuse_to_tell):
        pass
    path = folder_of(config) / "config.yaml"
    edited = yaml.safe_dump(edit(read_config(folder_of(config))))
    path.write_text(edited)
    with pytest.raises(UserError) as refused, locked_run(folder_of(config), config, refuse_to_tell):
        pytest.fail("taken")
    assert (refused.value.code, refused.value.about) == (Code.CHANGED, (str(path), key))
    assert path.read_text() == edited
    told_of: list[str] = []
    with locked_run(folder_of(config), {**config, "rerun": True}, told_of.append):
        assert read_config(folder_of(config))["kl_weight"] == 1.0
    [kept] = [folder for folder in folder_of(config).parent.iterdir() if folder != folder_of(config)]
    assert str(kept) in told_of[0]


def test_what_decides_nothing_may_change(config: Config) -> None:
    with locked_run(folder_of(config), config, refuse_to_tell):
        pass
    elsewhere = {**config, "trainer": {**config["trainer"], "accelerator": "cuda", "devices": 8}, "kl_weight": 1}
    check_unchanged(folder_of(config), elsewhere)
    with locked_run(folder_of(config), elsewhere, refuse_to_tell):
        assert read_config(folder_of(config))["trainer"]["devices"] == 8


def test_a_config_is_held_against_the_fingerprint_that_it_carries(config: Config, tmp_path: Path) -> None:
    check_fingerprint(tmp_path, config)
    saved_in = str(tmp_path / "config.yaml")
    with pytest.raises(UserError) as refused:
        check_fingerprint(tmp_path, {**config, "run": None})
    assert (refused.value.code, refused.value.about) == (Code.CHANGED, (saved_in,))
    edited = {**config, "seed": 5}
    with pytest.raises(UserError) as refused:
        check_fingerprint(tmp_path, edited)
    assert (refused.value.code, refused.value.about) == (Code.CHANGED, (saved_in,))
    assert config["run"]["fingerprint"] in str(refused.value)
    write_results(tmp_path, {"settings": {"seed": 0}})
    with pytest.raises(UserError) as refused:
        check_fingerprint(tmp_path, edited)
    assert (refused.value.code, refused.value.about) == (Code.CHANGED, (saved_in, "seed"))


def test_curves_with_other_steps_are_not_gone_on_with(config: Config) -> None:
    with locked_run(folder_of(config), config, refuse_to_tell):
        (folder_of(config) / "checkpoints" / "step000000005.ckpt").touch()
    other = {**config, "trainer": {**config["trainer"], "log_every_n_steps": 7}}
    check_unchanged(folder_of(config), other)  # a finished run is shown
    with pytest.raises(UserError) as refused, locked_run(folder_of(config), other, refuse_to_tell):
        pytest.fail("taken")
    assert refused.value.code == Code.CHANGED
    assert refused.value.about[1:] == ("trainer.log_every_n_steps",)


def test_what_killed_processes_were_writing_is_removed(config: Config) -> None:
    left = [".config.yaml.123", "checkpoints/.step000000005.ckpt.77", ".metrics.jsonl.9"]
    kept = ["checkpoints/before-my-experiment.ckpt", "checkpoints/step000000005.ckpt.damaged", "notes.txt"]
    with locked_run(folder_of(config), config, refuse_to_tell):
        for name in (*left, *kept):
            (folder_of(config) / name).touch()
    with locked_run(folder_of(config), config, refuse_to_tell):
        assert [name for name in (*left, *kept) if (folder_of(config) / name).exists()] == kept


@pytest.mark.parametrize("damage", [{"trainer": None}, {"run": "x"}, {"trainer": "cpu"}])
def test_a_damaged_config_is_told_by_its_differences(damage: Config, config: Config) -> None:
    with locked_run(folder_of(config), config, refuse_to_tell):
        pass
    (folder_of(config) / "config.yaml").write_text(yaml.safe_dump({**config, **damage}))
    with pytest.raises(UserError) as refused, locked_run(folder_of(config), config, refuse_to_tell):
        pytest.fail("taken")
    assert refused.value.code == Code.CHANGED
    assert len(refused.value.about) > 1


def test_a_second_rerun_in_the_same_second_finds_a_name(config: Config) -> None:
    again = {**config, "rerun": True}
    kept: list[str] = []
    for _ in range(4):
        with locked_run(folder_of(config), again, kept.append):
            pass
    assert len(set(kept)) == 3


def test_where_nothing_can_be_written_the_folder_is_named(config: Config, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "run"
    with pytest.raises(UserError) as refused, locked_run(folder, config, refuse_to_tell):
        pytest.fail("taken")
    assert (refused.value.code, refused.value.about) == (Code.CANNOT_WRITE, ("runs_dir", str(folder)))


def test_a_full_disk_leaves_the_earlier_config_whole(config: Config) -> None:
    with locked_run(folder_of(config), config, refuse_to_tell):
        before = read_config(folder_of(config))
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, unlimited[1]))
    try:
        with pytest.raises(UserError) as refused, locked_run(folder_of(config), config, refuse_to_tell):
            pytest.fail("taken")
        assert refused.value.code == Code.CANNOT_WRITE
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert read_config(folder_of(config)) == before
