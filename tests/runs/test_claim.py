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
from vae_lightning.errors import UserError
from vae_lightning.runs.claim import check_fingerprint, check_unchanged, claimed
from vae_lightning.runs.directory import read_config, write_results
from vae_lightning.runs.identity import identify

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
from vae_lightning.runs.claim import claimed
from vae_lightning.errors import UserError
try:
    with claimed(Path({str(folder_of(config))!r}), {config!r}, print):
        print("mine")
except UserError as error:
    print(error)
"""

    def other() -> str:
        return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    with claimed(folder_of(config), config, refuse_to_tell):
        assert "another process is training this run; this one leaves it alone" in other()
    assert other() == "mine\n"


def test_the_lock_of_a_killed_process_is_no_obstacle(config: Config) -> None:
    program = f"""
import os
from pathlib import Path
from vae_lightning.runs.claim import claimed
with claimed(Path({str(folder_of(config))!r}), {config!r}, print):
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    with claimed(folder_of(config), config, refuse_to_tell):
        pass


EDITS = {
    "by hand": (lambda saved: saved | {"kl_weight": 2.0}, "  kl_weight: 2.0 there, 1.0 here"),
    "deep inside": (
        lambda saved: saved | {"optimizer": saved["optimizer"] | {"lr": 0.01}},
        "  optimizer.lr: 0.01 there, 0.001 here",
    ),
    "a key is gone": (
        lambda saved: {key: value for key, value in saved.items() if key != "seed"},
        "  seed: missing there, 0 here",
    ),
    "another version of this package": (
        lambda saved: saved | {"run": saved["run"] | {"version": "0.0.9"}},
        "  version: 0.0.9 there, 0.1.0 here",
    ),
}


@pytest.mark.parametrize(("edit", "told"), EDITS.values(), ids=EDITS.keys())
def test_a_directory_with_another_config_is_refused_with_the_difference(
    edit: Callable[[Config], Config], told: str, config: Config
) -> None:
    with claimed(folder_of(config), config, refuse_to_tell):
        pass
    path = folder_of(config) / "config.yaml"
    edited = yaml.safe_dump(edit(read_config(folder_of(config))))
    path.write_text(edited)
    with (
        pytest.raises(UserError, match=r"config.yaml: is not what this run is by its fingerprint") as refused,
        claimed(folder_of(config), config, refuse_to_tell),
    ):
        pytest.fail("taken")
    assert told in str(refused.value)
    assert path.read_text() == edited
    told_of: list[str] = []
    with claimed(folder_of(config), {**config, "rerun": True}, told_of.append):
        assert read_config(folder_of(config))["kl_weight"] == 1.0
    assert told_of[0].startswith("rerun: the earlier run is kept as ")


def test_what_decides_nothing_may_change(config: Config) -> None:
    with claimed(folder_of(config), config, refuse_to_tell):
        pass
    elsewhere = {**config, "trainer": {**config["trainer"], "accelerator": "cuda", "devices": 8}, "kl_weight": 1}
    check_unchanged(folder_of(config), elsewhere)
    with claimed(folder_of(config), elsewhere, refuse_to_tell):
        assert read_config(folder_of(config))["trainer"]["devices"] == 8


def test_a_config_is_held_against_the_fingerprint_that_it_carries(config: Config, tmp_path: Path) -> None:
    check_fingerprint(tmp_path, config)
    edited = {**config, "seed": 5}
    with pytest.raises(UserError, match=rf"was edited; it carries the fingerprint {config['run']['fingerprint']}, and"):
        check_fingerprint(tmp_path, edited)
    write_results(tmp_path, {"settings": {"seed": 0}})
    with pytest.raises(UserError, match=r"\n  seed: 5 there, 0 here\n"):
        check_fingerprint(tmp_path, edited)


def test_where_nothing_can_be_written_the_folder_is_named(config: Config, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"runs_dir=.*: cannot write .*; name a writable folder by runs_dir="),
        claimed(tmp_path / "file" / "run", config, refuse_to_tell),
    ):
        pytest.fail("taken")


def test_a_full_disk_leaves_the_earlier_config_whole(config: Config) -> None:
    with claimed(folder_of(config), config, refuse_to_tell):
        before = read_config(folder_of(config))
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, unlimited[1]))
    try:
        with (
            pytest.raises(UserError, match=r"cannot write .*File too large"),
            claimed(folder_of(config), config, refuse_to_tell),
        ):
            pytest.fail("taken")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert read_config(folder_of(config)) == before
