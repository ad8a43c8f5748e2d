"""The door of vae-evaluate: real runs examined, and what it refuses."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from vae_lightning.cli.evaluate import evaluate
from vae_lightning.composing import config_folder
from vae_lightning.config import check_origins
from vae_lightning.errors import UserError
from vae_lightning.runs.identity import identify
from vae_lightning.training import train

Config = dict[str, Any]
FIGURES = {"collapse_curve", "residual_spectrum", "aggregate_posterior", "traversals", "units"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[..., Config]], Path]:
    """A finished run of seconds; trained once, copied for each test."""
    kept: dict[str, Path] = {}

    def copied(tiny: Callable[..., Config]) -> Path:
        if "run" not in kept:
            config = tiny("data.source._target_=vae_lightning.data.digits")  # what is found may name only ours
            train(config)
            kept["run"] = tmp_path_factory.mktemp("finished") / "run"
            shutil.copytree(identify(config).directory, kept["run"])
        target = tmp_path_factory.mktemp("copy") / "run"
        shutil.copytree(kept["run"], target)
        return target

    return copied


@pytest.fixture
def run(finished: Callable[..., Path], tiny: Callable[..., Config]) -> Path:
    return finished(tiny)


def called(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr("sys.argv", ["vae-evaluate", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "140")
    evaluate()


@pytest.mark.renders
def test_every_diagnostic_is_added_to_the_results_drawn_and_printed(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = json.loads((run / "results.json").read_text())
    called(monkeypatch, run, "--samples", 60)
    after = json.loads((run / "results.json").read_text())
    for name in ("run", "seconds", "epochs", "steps", "settings", "kl_weight_at_the_end"):
        assert after[name] == before[name]
    for name in ("test/elbo", "test/kl", "test/kl_per_unit", "test/active_units"):  # the same images, the same noise
        assert after[name] == pytest.approx(before[name], rel=1e-5)
    assert (before["test/log_px_samples"], after["test/log_px_samples"]) == (10, 60)
    assert after["test/log_px_by_samples"]["1"] == pytest.approx(before["test/log_px_by_samples"]["1"])
    assert after["test/elbo"] < after["test/log_px"]
    assert {"test/mutual_information", "test/marginal_kl", "test/probe_accuracy"} <= after.keys() - before.keys()
    assert {path.stem for path in (run / "figures").iterdir()} >= FIGURES
    printed = capsys.readouterr().out
    for part in (
        "verdict",
        "log p(x)",
        "50: ",
        "ceiling",
        "written and read",
        "linear probe",
        "completeness",
        "decoder sensitivity",
    ):
        assert part in printed


def test_an_unfinished_run_is_examined_without_being_marked_finished(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run / "results.json").unlink()
    called(monkeypatch, run, "--samples", 2)
    assert not (run / "results.json").exists()
    found = json.loads((run / "evaluation.json").read_text())
    assert (found["epochs"], found["steps"]) == (2, 30)
    assert found["test/log_px_samples"] == 2


class RunsCode:
    """Restored by an ordinary unpickler, it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def newest(run: Path) -> Path:
    return max((run / "checkpoints").glob("*.ckpt"))


def test_a_checkpoint_that_carries_code_is_refused_and_nothing_of_it_is_run(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = torch.load(newest(run), weights_only=True)
    torch.save({**content, "extra": RunsCode(tmp_path / "ran")}, newest(run))
    with pytest.raises(UserError, match=r"refused\. It holds more than tensors .* nothing of it was run"):
        called(monkeypatch, run)
    assert not (tmp_path / "ran").exists()
    torch.load(newest(run), weights_only=False)  # it would have
    assert (tmp_path / "ran").exists()


def test_what_is_no_sound_checkpoint_is_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = newest(run).read_bytes()
    for content in (b"", b"hello world", whole[: len(whole) // 2]):
        newest(run).write_bytes(content)
        with pytest.raises(UserError, match=r"step000000030\.ckpt: damaged"):
            called(monkeypatch, run)
    torch.save([1, 2], newest(run))
    with pytest.raises(UserError, match="not a checkpoint of a run"):
        called(monkeypatch, run)


def test_a_checkpoint_of_another_architecture_is_told_by_its_first_difference(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = torch.load(newest(run), weights_only=True)
    weight = content["state_dict"]["encoder.layers.1.weight"]
    torch.save({**content, "state_dict": {**content["state_dict"], "encoder.layers.1.weight": weight[:4]}}, newest(run))
    with pytest.raises(UserError, match=r"of another model than config\.yaml beside it\. size mismatch for encoder"):
        called(monkeypatch, run)


def test_an_edited_config_is_refused_with_the_difference(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("kl_weight: 1.0", "kl_weight: 2.0"))
    with pytest.raises(UserError, match=r"config.yaml: was edited; .*\n  kl_weight: 2.0 there, 1.0 here\nPut back"):
        called(monkeypatch, run)


def edited(run: Path, source: Any) -> None:
    """Put a data source into a run's config, and the fingerprint that it then has: an attacker can count too."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"]["source"] = source
    config["run"] = identify(config).derived()
    (run / "config.yaml").write_text(yaml.dump(config))


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.exec",
        "torch.hub.load",
        "torch.load",
        "torch.nn.functional.torch.hub.load",  # an allowed module knows the whole of torch by name
        "torch.nn.attention._fa4.register_flash_attention_fa4",  # imports what it is told to
        "torch.nn.modules.module.register_module_forward_hook",
        "torch.nn.parallel.DistributedDataParallel.__init_subclass__",
        "torch.nn.factory_kwargs",
        "vae_lightning.data.module.torch.load",
        "vae_lightning.data.fetch._download",
        "vae_lightning.training.train",
        "vae_lightning.data_of_mine.Source",
        "spoils.Everything",
    ],
)
def test_a_config_that_names_foreign_code_is_refused_and_nothing_of_it_is_imported(
    target: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "spoils.py").write_text(f"import pathlib\npathlib.Path({str(ran)!r}).touch()\nclass Everything: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    edited(run, {"_target_": target})
    with pytest.raises(UserError, match=r"data.source._target_=.*: refused; a saved config may name what"):
        called(monkeypatch, run)
    assert not ran.exists()
    if target.startswith("spoils"):
        with pytest.raises(UserError, match=r"not the config of a run|data"):
            called(monkeypatch, run, "--allow", "spoils")
        assert ran.exists()


NODE = {"_target_": "os.mkdir", "path": "HERE"}
HIDDEN = {
    "in a list": {"_target_": "vae_lightning.data.digits", "more": [{"deep": NODE}]},
    "in an interpolation": {
        "_target_": "vae_lightning.data.idx_images",
        "data_dir": "${oc.create:{_target_: os.mkdir, path: HERE}}",
    },
    "in the name of a target": {"_target_": "${oc.decode:os.mkdir}"},
    "in a key": {"_target_": "vae_lightning.data.digits", "${oc.env:HOME}": 1},
}


@pytest.mark.parametrize("source", HIDDEN.values(), ids=HIDDEN.keys())
def test_a_config_that_hides_foreign_code_is_refused(
    source: Any, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited(run, source)
    (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("HERE", str(tmp_path / "made")))
    with pytest.raises(UserError, match=r"data.source.*: refused; a saved config"):
        called(monkeypatch, run)
    assert not (tmp_path / "made").exists()


def test_what_yaml_makes_of_pairs_is_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tuples, which the config library would take for lists and build what is in them."""
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config + "more: !!pairs [a: {_target_: os.mkdir, path: x}]\n")
    with pytest.raises(UserError, match=r"more.0: refused; a saved config has no tuple"):
        called(monkeypatch, run)


def test_every_config_of_ours_may_be_found_in_a_directory(configure: Callable[..., Config]) -> None:
    for path in config_folder().glob("*/*.yaml"):
        group = path.parent.name
        if group != "experiment":
            check_origins(configure(f"{group}={path.stem}"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--samples", "0"], "--samples 0: log p(x) needs at least 1"),
        (["--samples", "-3"], "--samples -3: log p(x) needs at least 1"),
    ],
)
def test_no_samples_are_refused_at_once(
    arguments: list[str], told: str, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError) as refused:
        called(monkeypatch, run, *arguments)
    assert told in str(refused.value)


def test_a_folder_that_is_no_run_or_has_no_checkpoint_is_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"not a run directory \(it has no config\.yaml\)"):
        called(monkeypatch, tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"it holds runs: name one, as run, or .*/\*"):
        called(monkeypatch, run.parent)
    with pytest.raises(UserError, match=r"did you mean .*/run\?"):
        called(monkeypatch, newest(run))
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(UserError, match="no checkpoint in checkpoints/; it is finished"):
        called(monkeypatch, run)
    (run / "results.json").unlink()
    with pytest.raises(UserError, match="it has not finished an epoch yet"):
        called(monkeypatch, run)


def test_one_bad_run_does_not_keep_the_others_from_being_examined(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="nowhere: not a run directory"):
        called(monkeypatch, tmp_path / "nowhere", run, "--samples", 3)
    assert json.loads((run / "results.json").read_text())["test/log_px_samples"] == 3


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("results.json", '{"run": "torn', "results.json: cannot be read"),
        ("config.yaml", "a: [", "config.yaml: cannot be read"),
        ("config.yaml", ":::", "config.yaml: "),
        ("config.yaml", "kl_weight: 1", "config.yaml: not the config of a run\ndata: missing"),
    ],
)
def test_a_torn_file_is_named(name: str, content: str, told: str, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run / name).write_text(content)
    with pytest.raises(UserError) as refused:
        called(monkeypatch, run)
    assert told.split("\n", maxsplit=1)[0] in str(refused.value)
