"""Runs that were interrupted, in process: they end as if nothing had happened, whatever became of their files."""

import json
import pickle
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from faults_in_training import cut_power

from vae_lightning.config import checked
from vae_lightning.errors import Code, UserError
from vae_lightning.runs.checkpoints import load_checkpoint
from vae_lightning.runs.comparison import content_differences, run_differences
from vae_lightning.runs.curves import read_curves
from vae_lightning.runs.directory import checkpoints
from vae_lightning.runs.identity import identify
from vae_lightning.runs.lock import locked_run
from vae_lightning.training import train

Config = dict[str, Any]


def folder_of(config: Config) -> Path:
    return identify(config).directory


def test_rerun_keeps_the_earlier_run_aside(finished: Callable[..., Config]) -> None:
    config = finished()
    train({**config, "rerun": True})
    [kept] = [path for path in folder_of(config).parent.iterdir() if path != folder_of(config)]
    assert kept.name.startswith(folder_of(config).name + ".")
    assert (kept / "results.json").exists()


STATEFUL = {
    "plain": [],
    "binarised, cyclical": ["data.binarize=dynamic", "beta_schedule=cyclical_cosine"],
    "geco": ["beta_schedule=geco", "beta_schedule.target_distortion=38"],
    "control_vae, learned sigma": ["beta_schedule=control_vae", "kl_weight=20", "likelihood=gaussian_learned"],
    "aggressive, cosine": [
        "optimizer=aggressive",
        "optimizer.max_steps=4",
        "optimizer.window=2",
        "lr_schedule=cosine",
        "data.binarize=dynamic",
    ],
    "half precision, its loss scale": ["trainer.precision=16-mixed", "trainer.gradient_clip_val=1"],
    "batch_norm, optimal sigma": ["posterior=batch_norm", "likelihood=gaussian_optimal", "optimizer=separate"],
}


LONGER = ("aggressive, cosine", "half precision, its loss scale", "batch_norm, optimal sigma")


@pytest.mark.parametrize(
    "extra",
    [pytest.param(extra, id=name, marks=[pytest.mark.slow] * (name in LONGER)) for name, extra in STATEFUL.items()],
)
def test_an_interrupted_run_ends_as_if_nothing_had_happened(
    extra: list[str], finished: Callable[..., Config], tmp_path: Path
) -> None:
    config = finished("trainer.max_epochs=3", "save_every_n_steps=4", *extra)
    untouched = shutil.move(folder_of(config), tmp_path / "untouched")
    cut_power(3, config)  # before the first checkpoint
    with (folder_of(config) / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 9, "torn')
    cut_power(7, config)  # after one in the middle of a window of the curves
    cut_power(22, config)  # in the second epoch
    cut_power(29, config)  # in the last chunk of batches of that epoch, with one checkpoint in it
    cut_power(31, config)  # just after the second epoch's own
    assert not (folder_of(config) / "results.json").exists()
    train(config)
    assert run_differences(folder_of(config), untouched) == []


def test_the_comparison_sees_one_bit(finished: Callable[..., Config], tmp_path: Path) -> None:
    """Prove that the test above can fail."""
    config = finished()
    folder, other = folder_of(config), tmp_path / "other"
    shutil.copytree(folder, other)
    assert run_differences(folder, other) == []
    path = checkpoints(other)[-1]
    content = torch.load(path, weights_only=True)
    moment = content["optimizer_states"][0]["state"][0]["exp_avg"]
    moment.view(torch.int32)[0, 0] ^= 1
    torch.save(content, path)
    (other / "metrics.jsonl").write_text((other / "metrics.jsonl").read_text().replace('"epoch": 0', '"epoch": 1', 1))
    results = json.loads((other / "results.json").read_text())
    (other / "results.json").write_text(json.dumps(results | {"seconds": 0, "test/kl": results["test/kl"] + 1e-12}))
    at_checkpoint, in_curves, in_results = run_differences(folder, other)
    assert "/optimizer_states/0/state/0/exp_avg:" in at_checkpoint
    assert in_curves.startswith("metrics.jsonl: line 1 ")
    assert in_results.startswith("results.json: /test/kl: ")


def test_a_resumed_run_counts_all_its_seconds(at_the_end: Config) -> None:
    newest = checkpoints(folder_of(at_the_end))[-1]
    content = torch.load(newest, weights_only=True)
    [timer] = [state for name, state in content["callbacks"].items() if "Timer" in name]
    timer["time_elapsed"]["train"] = 1000.0
    torch.save(content, newest)
    assert train(at_the_end)["seconds"] >= 1000


@pytest.fixture
def at_the_end(finished: Callable[..., Config]) -> Config:
    """Return the config of a run with two checkpoints that is over but for its last evaluation."""
    config = finished("save_every_n_steps=4")
    (folder_of(config) / "results.json").unlink()
    return config


def bit_flipped(content: bytes) -> bytes:
    middle = len(content) // 2  # in a tensor: torch would load it without a word
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [lambda content: content[:-100], lambda content: content[:5000], lambda _: b"", bit_flipped, lambda _: b"hello"],
    ids=["its end cut off", "most of it cut off", "emptied", "one bit flipped", "something else"],
)
def test_a_damaged_checkpoint_is_reported_and_the_one_before_it_used(
    damage: Callable[[bytes], bytes], at_the_end: Config, finished: Callable[..., Config], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = folder_of(at_the_end)
    shutil.copytree(folder_of(finished("save_every_n_steps=4")), tmp_path / "untouched")
    (folder / "results.json").unlink()
    before, newest = checkpoints(folder)
    damaged = damage(newest.read_bytes())
    newest.write_bytes(damaged)
    train(at_the_end)
    told = capsys.readouterr().out
    assert str(newest) in told
    assert f"28 from {before}" in told
    assert run_differences(folder, tmp_path / "untouched") == []
    assert newest.with_name(newest.name + ".damaged").read_bytes() == damaged  # nothing is lost


def test_without_a_sound_checkpoint_nothing_is_overwritten(at_the_end: Config) -> None:
    folder = folder_of(at_the_end)
    for path in checkpoints(folder):
        path.write_bytes(b"")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(UserError) as refused:
        train(at_the_end)
    assert refused.value.code == Code.DAMAGED
    assert set(refused.value.about) == set(map(str, checkpoints(folder)))
    assert {path: path.read_bytes() for path in before} == before
    assert train({**at_the_end, "rerun": True})["steps"] == 30


class RunsCode:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_malicious_checkpoint_is_refused_and_nothing_of_it_is_run(at_the_end: Config, tmp_path: Path) -> None:
    newest = checkpoints(folder_of(at_the_end))[-1]
    content = torch.load(newest, weights_only=True)
    torch.save({**content, "extra": RunsCode(tmp_path / "ran")}, newest)
    with pytest.raises(UserError) as refused:
        train(at_the_end)
    assert (refused.value.code, refused.value.about) == (Code.REFUSED, (str(newest),))
    newest.write_bytes(pickle.dumps(RunsCode(tmp_path / "ran")))  # not even a checkpoint: passed over
    assert train(at_the_end)["steps"] == 30
    assert not (tmp_path / "ran").exists()


def test_whichever_bit_is_flipped_it_is_seen_or_changes_nothing(at_the_end: Config) -> None:
    newest = checkpoints(folder_of(at_the_end))[-1]
    whole, content = newest.read_bytes(), load_checkpoint(newest)
    chance = random.Random(0)
    with zipfile.ZipFile(newest) as archive:
        [pickled] = (each for each in archive.infolist() if each.filename.endswith("data.pkl"))
    seen = 0
    for index in range(300):  # half of them where the structure lies, which is small beside the tensors
        place = chance.randrange(len(whole))
        if index % 2:
            place = pickled.header_offset + chance.randrange(pickled.file_size)
        newest.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << chance.randrange(8))]) + whole[place + 1 :])
        try:
            found = load_checkpoint(newest)
        except UserError:
            seen += 1
        else:
            assert list(content_differences(found, content, "")) == []
    assert seen > 200


def test_a_run_that_is_being_trained_is_left_alone(at_the_end: Config) -> None:
    folder = folder_of(at_the_end)
    with locked_run(checked(at_the_end), print):
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for again in (at_the_end, {**at_the_end, "rerun": True}):
            with pytest.raises(UserError) as refused:
                train(again, patience_s=0.0)
            assert (refused.value.code, refused.value.about) == (Code.LOCKED, (str(folder),))
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert train(at_the_end)["steps"] == 30


def test_rerun_starts_afresh_also_when_a_run_is_half_done(at_the_end: Config) -> None:
    folder = folder_of(at_the_end)
    assert train({**at_the_end, "rerun": True})["steps"] == 30
    [kept] = [path for path in folder.parent.iterdir() if path != folder]
    assert len(checkpoints(kept)) == 2
    assert not (kept / "results.json").exists()
    assert (folder / "metrics.jsonl").read_text() == (kept / "metrics.jsonl").read_text()


def test_curves_hold_every_step_once(finished: Callable[..., Config]) -> None:
    config = finished("trainer.log_every_n_steps=4")
    steps = [line["step"] for line in read_curves(folder_of(config)) if "train/loss" in line]
    assert steps == [3, 7, 11, 14, 15, 19, 23, 27, 29]  # every fourth, and the last of each epoch
