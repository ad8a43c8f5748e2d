import csv
import json
from pathlib import Path

import pytest
import yaml

from vae_lightning.cli.report import report
from vae_lightning.errors import Code, UserError
from vae_lightning.report.differences import what_differs
from vae_lightning.runs.results import Results

SETTINGS = {
    "data.name": "mnist", "data.binarize": "none", "model.name": "mlp", "likelihood.name": "gaussian",
    "beta_schedule.name": "constant",
}  # fmt: skip


def run(folder: Path, name: str, **found: object) -> Path:
    """A finished run as it lies on disk."""
    results = {
        "run": name, "fingerprint": "0123abcd", "study": "toy", "command": "vae-train experiment=toy",
        "kl_weight": 1.0, "latent_dim": 2, "seed": 0,
        "kl_weight_times_variance": 0.5, "epochs": 3, "steps": 30, "seconds": 1.5, "test/elbo": -100.25, "test/kl": 4.5,
        "test/distortion": 95.75, "test/active_units": 1, "test/active_directions": 1, "test/kl_per_unit": [0.0, 4.5],
        "versions": {"torch": "2"}, "samples/count_per_class": [50, 0, 50],
        "kinds/accuracy_on_test_images": 0.95,
        "test/mean_of_mean_per_unit": [0.0, -2.0], "test/variance_of_mean_per_unit": [0.0, 4.0],
        "forecast/active_units": 2, "forecast/critical_weights": [4.0, 1.5, 0.5], "verdict": "collapsed",
        "verdict/margin": 1.5, "verdict/margin_error": 0.1, "test/living_units": 1, **found,
    }  # fmt: skip
    directory = folder / "toy" / name
    (directory / "figures").mkdir(parents=True)
    (directory / "figures" / "samples.png").write_bytes(b"png")
    (directory / "results.json").write_text(json.dumps(results))
    (directory / "config.yaml").write_text(yaml.safe_dump({"study": {"name": "toy", "question": "Does it?"}}))
    return directory


def called(monkeypatch: pytest.MonkeyPatch, *arguments: object, width: int = 140) -> None:
    monkeypatch.setattr("sys.argv", ["vae-report", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", str(width))
    report()


def test_the_table_has_one_row_for_each_finished_run_by_weight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    units, directions = "test/active_units", "test/active_directions"
    run(tmp_path, "b", kl_weight=10.0, **{units: 0, directions: None, "verdict": None, "forecast/active_units": None})
    run(tmp_path, "a", kl_weight=2.0)
    run(tmp_path, "c", kl_weight=0.1, **{units: 2, directions: 2, "verdict": "healthy"})
    (run(tmp_path, "kept-aside")).rename(tmp_path / "toy" / "kept-aside.20260101-000000")
    (tmp_path / "toy" / "unfinished").mkdir()
    called(monkeypatch, tmp_path)
    lines = map(str.split, capsys.readouterr().out.splitlines())
    rows = [cells for cells in lines if cells and cells[-1] in {"a", "b", "c"}]
    assert [row[-1] for row in rows] == ["c", "a", "b"]
    assert rows[0][4:-1] == ["2/2", "2", "2", "healthy"]
    assert rows[1][:-1] == ["2", "0.5", "-100.25", "4.50", "1/2", "1", "2", "collapsed"]
    assert rows[2][4:-1] == ["0/2", "–", "–", "no", "verdict"]


def test_a_page_of_the_notebook_is_written_from_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path / "runs", "a")
    called(monkeypatch, tmp_path / "runs", "--notebook", tmp_path / "notebook")
    page = (tmp_path / "notebook" / "toy" / "README.md").read_text()
    for part in (
        "Does it?",
        "    vae-train experiment=toy",
        "| 1 | 0.5 | -100.25 | 4.50 | – | 4.50 0.00 | 95.75 | 1/2 | 1 | 2 | collapsed | 1.50 ± 0.10 | 3 | 2 |",
        "0: 50, 1: 0, 2: 50",
        "(0.00, -2.00)",
        "(0.00, 2.00)",
        "![samples](samples.png)",
    ):
        assert part in page
    assert (tmp_path / "notebook" / "toy" / "samples.png").read_bytes() == b"png"
    [row] = csv.DictReader((tmp_path / "notebook" / "toy" / "results.csv").read_text().splitlines())
    expected = {
        "run": "a", "choices": "", "kl_weight": "1.0", "kl_weight_times_variance": "0.5", "latent_dim": "2",
        "seed": "0", "epochs": "3", "seconds": "1.5", "test/elbo": "-100.25", "test/kl": "4.5", "test/log_px": "",
        "test/distortion": "95.75", "test/active_units": "1", "test/active_directions": "1", "test/living_units": "1",
        "forecast/active_units": "2", "verdict": "collapsed", "verdict/margin": "1.5",
    }  # fmt: skip
    assert {key: row[key] for key in expected} == expected


def test_runs_that_differ_from_an_ordinary_vae_say_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "runs", "a")
    run(tmp_path / "runs", "b", choices=["free_bits", "laplace"])
    for width in (80, 150):
        called(monkeypatch, tmp_path / "runs", "--notebook", tmp_path / "notebook", width=width)
        printed = capsys.readouterr().out
        for part in ("free_bits", "laplace", "collapsed"):  # in a narrow table the choices are folded
            assert part in printed
        assert ("0.5" in printed) == (width == 150)  # there kl_weight·σ² makes room
    page = (tmp_path / "notebook" / "toy" / "README.md").read_text()
    assert "| 1 | 0.5 | free_bits, laplace |" in page
    assert "0: 50, 1: 0, 2: 50" not in page  # what is told of each run at length is for a page of one run
    assert "b,1.0,0.5,free_bits laplace," in (tmp_path / "notebook" / "toy" / "results.csv").read_text()


@pytest.mark.renders
def test_a_sweep_of_seeds_keeps_forecast_and_verdict_in_a_narrow_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (0, 1):
        run(tmp_path, f"s{seed}", seed=seed, settings={**SETTINGS, "seed": seed})
    for width, directions in ((80, []), (96, ["1"])):
        called(monkeypatch, tmp_path, width=width)
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert ["1", "-100.25", "4.50", "1/2", *directions, "2", "collapsed", "seed=1", "0123abcd"] in lines


def test_no_width_from_80_on_cuts_a_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for weight in (1.0, 100.0):
        run(tmp_path, f"mnist-mlp-latent10-w{weight:g}-seed0-0123abcd", kl_weight=weight)
    shown = set()
    for width in range(80, 141, 4):
        called(monkeypatch, tmp_path, width=width)
        printed = capsys.readouterr().out
        assert "…" not in printed
        shown.add(tuple(word for word in ("directions", "kl_weight·σ²", "-seed0-") if word in printed))
    assert shown == {
        ("directions",), ("directions", "kl_weight·σ²"), ("directions", "kl_weight·σ²", "-seed0-")
    }  # fmt: skip


def test_paths_with_brackets_are_printed_as_they_are_and_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "x[y]z" / "a[" / "b]c" / ("long" * 30)
    run(folder, "a")
    called(monkeypatch, folder, width=40)
    assert f"wrote {folder / 'report.html'}" in capsys.readouterr().out.splitlines()


def test_nothing_to_show_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError) as refused:
        called(monkeypatch, tmp_path)
    assert (refused.value.code, refused.value.about) == (Code.NOT_FOUND, (str(tmp_path),))
    with pytest.raises(UserError) as refused:
        called(monkeypatch, tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in str(refused.value)


def test_results_of_others_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = run(tmp_path, "a")
    for name, text in (("foreign", '{"loss": 1}'), ("torn", '{"run": "torn", "te'), ("list", "[1]")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(text)
    called(monkeypatch, tmp_path)
    assert len([line for line in capsys.readouterr().out.splitlines() if "0.5" in line]) == 1
    monkeypatch.chdir(here)
    called(monkeypatch, ".")


def test_runs_are_told_apart_by_the_option_or_by_its_setting() -> None:
    plain = {"kl_weight": 1.0, "objective.name": "elbo", "objective.n_samples": 1, "seed": 0}
    iwae = {"kl_weight": 2.0, "objective.name": "iwae", "objective.n_samples": 5, "seed": 0}

    def told(*runs: dict[str, object]) -> list[list[str]]:
        return what_differs([Results(choices=["iwae"] * (s["objective.name"] == "iwae"), settings=s) for s in runs])

    assert told(plain, iwae) == [[], ["iwae"]]
    assert told(iwae, iwae | {"objective.n_samples": 50}) == [
        ["iwae", "objective.n_samples=5"],
        ["iwae", "objective.n_samples=50"],
    ]
    assert told(plain, iwae, iwae | {"objective.n_samples": 50}) == [
        [],
        ["iwae", "objective.n_samples=5"],
        ["iwae", "objective.n_samples=50"],
    ]
    assert told(plain | {"model.name": "mlp", "model.depth": 2}, plain | {"model.name": "conv"}) == [["mlp"], ["conv"]]
    assert told(plain, plain | {"seed": 1}) == [["seed=0"], ["seed=1"]]
    assert told(plain) == [[]]
    assert what_differs([Results(run="of an older version")]) == [[]]
