"""vae-evaluate on real runs, and what it refuses."""

import csv
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from vae_lightning.cli.evaluate import evaluate
from vae_lightning.cli.report import report
from vae_lightning.conf_folder import config_folder
from vae_lightning.errors import Code, UserError
from vae_lightning.runs.identity import identify
from vae_lightning.runs.results import Results, View, columns_of
from vae_lightning.runs.saved_config import check_origins
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
    for column in columns_of([Results(after)], View.EVALUATION):
        assert column.label in printed
    for name in ("test/elbo", "test/kl", "test/frechet_distance_to_prior"):
        assert Results(after).text(name) in printed


def test_an_unfinished_run_is_evaluated_without_being_marked_finished(
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
    with pytest.raises(UserError) as refused:
        called(monkeypatch, run)
    assert newest(run).name in str(refused.value)
    assert not (tmp_path / "ran").exists()
    torch.load(newest(run), weights_only=False)  # it would have
    assert (tmp_path / "ran").exists()


def test_what_is_no_sound_checkpoint_is_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = newest(run).read_bytes()
    for content in (b"", b"hello world", whole[: len(whole) // 2]):
        newest(run).write_bytes(content)
        with pytest.raises(UserError) as refused:
            called(monkeypatch, run)
        assert newest(run).name in str(refused.value)
    torch.save([1, 2], newest(run))
    with pytest.raises(UserError) as refused:
        called(monkeypatch, run)
    assert newest(run).name in str(refused.value)


def test_a_checkpoint_of_another_architecture_is_told_by_its_first_difference(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = torch.load(newest(run), weights_only=True)
    weight = content["state_dict"]["encoder.layers.1.weight"]
    torch.save({**content, "state_dict": {**content["state_dict"], "encoder.layers.1.weight": weight[:4]}}, newest(run))
    with pytest.raises(UserError) as refused:
        called(monkeypatch, run)
    assert (refused.value.code, refused.value.about) == (Code.CHANGED, (str(newest(run)),))
    assert "encoder.layers.1.weight" in str(refused.value)


def test_an_edited_config_is_refused_with_the_difference(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("kl_weight: 1.0", "kl_weight: 2.0"))
    with pytest.raises(UserError) as refused:
        called(monkeypatch, run)
    for part in ("config.yaml", "kl_weight", "2.0", "1.0"):
        assert part in str(refused.value)


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
    with pytest.raises(UserError) as refused:
        called(monkeypatch, run)
    assert f"data.source._target_={target}" in str(refused.value)
    assert not ran.exists()
    if target.startswith("spoils"):
        with pytest.raises(UserError):
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
    with pytest.raises(UserError) as refused:
        called(monkeypatch, run)
    assert "data.source" in str(refused.value)
    assert not (tmp_path / "made").exists()


def test_what_yaml_makes_of_pairs_is_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tuples, which the config library would take for lists and build what is in them."""
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config + "more: !!pairs [a: {_target_: os.mkdir, path: x}]\n")
    with pytest.raises(UserError) as refused:
        called(monkeypatch, run)
    assert "more.0" in str(refused.value)


def test_every_config_of_ours_may_be_found_in_a_directory() -> None:
    targets = re.findall(r"^ *_target_: (\S+)$", "".join(p.read_text() for p in config_folder().glob("*/*.yaml")), re.M)
    assert len(targets) > 30
    check_origins({str(number): {"_target_": target} for number, target in enumerate(targets)})


@pytest.mark.parametrize("samples", [0, -3])
def test_no_samples_are_refused_at_once(samples: int, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError) as refused:
        called(monkeypatch, run, "--samples", samples)
    assert (refused.value.code, refused.value.about) == (Code.INVALID, ("--samples",))


def test_a_folder_that_is_no_run_or_has_no_checkpoint_is_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object) -> UserError:
        with pytest.raises(UserError) as error:
            called(monkeypatch, *arguments)
        assert error.value.code is Code.NOT_FOUND
        return error.value

    assert refused(tmp_path / "nowhere").about == (str(tmp_path / "nowhere"),)
    assert run.name in str(refused(run.parent))  # what could have been meant
    assert str(run) in str(refused(newest(run)))
    shutil.rmtree(run / "checkpoints")
    assert refused(run).about == (str(run / "checkpoints"),)
    (run / "results.json").unlink()
    assert refused(run).about == (str(run / "checkpoints"),)


def test_one_bad_run_does_not_keep_the_others_from_being_evaluated(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError) as refused:
        called(monkeypatch, tmp_path / "nowhere", run, "--samples", 3)
    assert refused.value.about == (str(tmp_path / "nowhere"),)
    assert json.loads((run / "results.json").read_text())["test/log_px_samples"] == 3


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("results.json", '{"run": "torn'),
        ("results.json", '{"run": ["of", "somebody", "else"]}'),
        ("config.yaml", "a: ["),
        ("config.yaml", ":::"),
        ("config.yaml", "kl_weight: 1"),
    ],
)
def test_a_torn_file_is_named(name: str, content: str, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run / name).write_text(content)
    with pytest.raises(UserError) as refused:
        called(monkeypatch, run)
    assert str(run / name) in str(refused.value)


METRICS = """
from vae_lightning.evaluation import gives

def largest_mean(evaluated):
    return float(evaluated.means.abs().max())

@gives("mine/width", "mine/number", label="my width", style=".1f")
def two_numbers(evaluated, *, factor=1.0):
    return factor * evaluated.model.latent_dim, 7

def fails(evaluated):
    raise RuntimeError("not today")

@gives("test/kl")
def writes_over(evaluated):
    return 0.0
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A user's own package of metrics, which cannot be imported any more once the test is over."""
    name = "metrics_of_a_user"
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / f"{name}.py").write_text(METRICS)
    monkeypatch.syspath_prepend(tmp_path / "package")
    yield name
    sys.modules.pop(name, None)


@pytest.mark.renders
def test_a_metric_of_the_users_is_added_to_a_finished_run_and_shown_without_its_package(
    run: Path, package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = [part for name in ("largest_mean", "fails") for part in ("--metric", f"{package}.{name}")]
    called(monkeypatch, run, "--samples", 2, *chosen)
    found = json.loads((run / "results.json").read_text())
    assert found["test/largest_mean"] > 0
    assert found["test/fails"] is None
    assert [caveat for caveat in found["caveats"] if "test/fails" in caveat]
    assert "largest mean" in capsys.readouterr().out

    called(monkeypatch, run, "--samples", 2, "--metric", f"{package}.two_numbers")  # the other one is kept
    sys.modules.pop(package)
    name = json.loads((run / "results.json").read_text())["run"]
    run.rename(run.with_name(name))  # as its own directory is called
    monkeypatch.setattr("sys.argv", ["vae-report", str(run.with_name(name))])
    report()
    [row] = csv.DictReader((run.with_name(name) / "results.csv").read_text().splitlines())
    assert float(row["test/largest_mean"]) == pytest.approx(found["test/largest_mean"], rel=1e-6)
    assert (row["mine/width"], row["mine/number"]) == ("3.0", "7")
    text = (run.with_name(name) / "report.html").read_text()
    for label in ("my width", "largest mean", "Frechet distance"):
        assert label in text


@pytest.mark.parametrize(
    ("metric", "code"),
    [
        ("no_such_package.metric", Code.CANNOT_BUILD),
        ("os.sep", Code.CANNOT_BUILD),
        ("metrics_of_a_user.writes_over", Code.INCOMPATIBLE),
    ],
)
def test_a_metric_that_cannot_be_is_refused_before_anything_is_computed(
    metric: str, code: Code, run: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (run / "results.json").read_bytes()
    with pytest.raises(UserError) as refused:
        called(monkeypatch, run, "--metric", metric)
    assert refused.value.code is code
    assert (run / "results.json").read_bytes() == before


def test_metrics_of_the_config_are_measured_and_no_part_of_the_identity(
    tiny: Callable[..., Config], package: str
) -> None:
    own = tiny(f"metrics=[{{_target_: {package}.two_numbers, factor: 2.0}}]", "trainer.max_epochs=1")
    assert identify(own).fingerprint == identify(tiny("trainer.max_epochs=1")).fingerprint
    results = train(own)
    assert (results["mine/width"], results["mine/number"]) == (6.0, 7)
    assert {"mine/width", "test/frechet_distance_to_prior"} <= results.wandb_summary().keys()
    with pytest.raises(UserError) as refused:
        train(tiny(f"metrics=[{{_target_: {package}.two_numbers, facto: 2.0}}]", "seed=5"))
    assert "metrics.0.facto" in str(refused.value)
    assert not identify(tiny("seed=5")).directory.exists()
