"""load_runs: every run of a folder is a row, whatever its state; every logged value is one of the long form."""

import json
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock

from vae_lightning.errors import Code, UserError
from vae_lightning.runs.directory import read_config, read_results, record_failure, set_aside
from vae_lightning.runs.loading import load_runs
from vae_lightning.runs.status import find_runs

OF_0_3 = Path(__file__).parent / "of_0_3"
"""Two small runs that version 0.3.0 trained."""
AT_WEIGHT_1, AT_WEIGHT_2 = sorted(OF_0_3.iterdir())
LINES = [
    {"step": 4, "epoch": 0, "train/kl": 1.5, "train/loss": None},
    {"step": 9, "epoch": 1, "test/kl_per_unit": [4, 0.5]},
]


def copied(to: Path, source: Path = AT_WEIGHT_2, **found: Any) -> Path:
    """Copy a finished run; what is given takes the place of what was found."""
    shutil.copytree(source, to)
    content = json.loads((to / "results.json").read_text())
    (to / "results.json").write_text(json.dumps({**content, **found}))
    return to


def unfinished(to: Path, *edited: tuple[str, str]) -> Path:
    (copied(to) / "results.json").unlink()
    text = (to / "config.yaml").read_text()
    for before, after in edited:
        assert before in text
        text = text.replace(before, after)
    (to / "config.yaml").write_text(text)
    return to


def logged(run: Path, *lines: object) -> None:
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_every_run_is_a_row_whatever_its_state(tmp_path: Path) -> None:
    copied(tmp_path / "study" / "done")
    copied(tmp_path / "other" / "first", AT_WEIGHT_1)
    running = unfinished(tmp_path / "study" / "going")
    record_failure(unfinished(tmp_path / "study" / "broke"), "out of paint")
    unfinished(tmp_path / "study" / "ended")
    set_aside(copied(tmp_path / "study" / "again"))
    with FileLock(running / ".lock"):
        frame = load_runs(tmp_path)
    assert list(zip(frame["run"], frame["status"], strict=True)) == [
        ("first", "finished"),
        ("broke", "failed"),
        ("done", "finished"),
        ("ended", "interrupted"),
        ("going", "running"),
    ]
    assert list(frame["directory"]) == [str(run.directory) for run in find_runs([tmp_path]).runs]
    assert list(frame["config.kl_weight"]) == [1, 2, 2, 2, 2]
    of_results = frame[["test/elbo", "test/kl_per_unit", "verdict", "forecast/active_units", "kl_weight", "seed"]]
    assert of_results.isna().all(axis=1).tolist() == [False, True, False, True, True]


def test_results_are_under_their_own_keys(tmp_path: Path) -> None:
    copied(tmp_path / "done")
    unfinished(tmp_path / "ended")
    frame, found = load_runs(tmp_path), json.loads((AT_WEIGHT_2 / "results.json").read_text())
    row = frame.set_index("run").loc["done"]
    for key in found.keys() - {"run", "settings"}:
        assert row[key] == found[key] or (found[key] is None and pd.isna(row[key]))
    assert isinstance(row["test/kl_per_unit"], list)
    assert {frame[key].dtype for key in ("test/kl", "test/active_units", "verdict/margin")} == {np.dtype(float)}
    assert not {"settings", "kl_if_linear"} & {*frame}


def test_the_config_is_whole_and_in_todays_terms_in_every_state(tmp_path: Path) -> None:
    (copied(tmp_path / "ended", AT_WEIGHT_1) / "results.json").unlink()
    copied(tmp_path / "done", AT_WEIGHT_1)
    frame = load_runs(tmp_path)
    for _, row in frame.iterrows():
        assert row["config.lr_schedule._target_"] == "vae_lightning.schedules.cosine_decay"
        assert row["config.prior.name"] == "standard_normal"
        assert row["config.optimizer.encoder.betas"] == [0.9, 0.999]
        assert row["config.model.encoder.hidden_sizes"] == row["config.callbacks"] == []
        assert row["config.data_dir"] == "data"
        assert row["config.trainer.max_epochs"] == 2
    assert frame["config.smoke"].dtype == bool


@pytest.mark.parametrize("content", [None, "kl_weight: [", "7", "\0"])
def test_a_finished_run_without_a_config_has_what_its_results_know(content: str | None, tmp_path: Path) -> None:
    config = copied(tmp_path / "done") / "config.yaml"
    config.unlink() if content is None else config.write_text(content)
    [row] = load_runs(tmp_path).to_dict("records")
    assert (row["config.kl_weight"], row["config.seed"], row["config.latent_dim"]) == (2, 0, 2)
    assert row["config.data.name"] == "digits"
    assert row["config.optimizer.betas"] == [0.9, 0.999]


def test_results_of_a_version_without_settings_still_know_the_weight(tmp_path: Path) -> None:
    (copied(tmp_path / "done", settings=None) / "config.yaml").unlink()
    [row] = load_runs(tmp_path).to_dict("records")
    assert (row["config.kl_weight"], row["config.seed"], row["config.latent_dim"]) == (2, 0, 2)


def test_what_was_trained_stands_above_a_config_that_was_edited_later(tmp_path: Path) -> None:
    config = copied(tmp_path / "done") / "config.yaml"
    config.write_text(config.read_text().replace("kl_weight: 2.0", "kl_weight: 9.0").replace("lr: 0.001", "lr: 7"))
    [row] = load_runs(tmp_path).to_dict("records")
    assert (row["config.kl_weight"], row["config.optimizer.lr"]) == (2, 0.001)


def test_the_columns_are_there_before_a_run_is_finished(tmp_path: Path) -> None:
    unfinished(tmp_path / "a" / "going")
    copied(tmp_path / "b" / "done")
    before, after = load_runs(tmp_path / "a"), load_runs(tmp_path / "b")
    expected = {
        "test/elbo",
        "test/kl",
        "test/kl_per_unit",
        "test/log_px",
        "forecast/active_units",
        "verdict",
        "seconds",
    }
    assert expected <= {*before} & {*after}
    assert before["test/kl"].dtype == before["forecast/active_units"].dtype == np.dtype(float)
    assert before["test/kl"].isna().all()


def test_an_autoencoder_has_no_kl(tmp_path: Path) -> None:
    copied(tmp_path / "points", **{"facts/has_density": False, "test/kl": 0.0, "test/kl_per_unit": [0.0, 0.0]})
    row = load_runs(tmp_path).loc[0]
    assert row[["test/kl", "test/elbo", "test/kl_per_unit", "test/log_px"]].isna().all()
    assert row["test/distortion"] == json.loads((AT_WEIGHT_2 / "results.json").read_text())["test/distortion"]


def test_a_run_of_this_version_shows_all_of_its_config_and_results(
    finished: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    finished("kl_weight=3")
    [run] = [path.parent for path in tmp_path.rglob("results.json")]
    frame = load_runs(tmp_path)
    results, config = read_results(run), read_config(run)
    assert results is not None
    assert results.settings is not None
    assert {f"config.{key}" for key in results.settings} <= {*frame}
    assert results.keys() - {*frame} == {"settings"}
    [row] = frame.to_dict("records")
    assert row["config.data.batch_size"] == config["data"]["batch_size"]
    assert row["config.kl_weight"] == 3
    assert row["test/elbo"] == results["test/elbo"]
    assert row["test/kl_per_unit"] == results["test/kl_per_unit"]
    curves = load_runs(tmp_path, curves=True)
    assert (curves["name"] == "train/kl").sum() == (curves["name"] == "train/loss").sum() > 1
    assert curves["value"].dtype == float


def test_every_logged_value_is_a_row(tmp_path: Path) -> None:
    run = copied(tmp_path / "done")
    logged(run, *LINES)
    with (run / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 14, "ep')  # being written
    frame = load_runs(tmp_path, curves=True)
    about = ["run", "directory", "epoch", "step", "name", "value", "config.kl_weight", "config.seed"]
    assert list(frame) == about
    assert frame[about[2:5]].to_numpy().tolist() == [
        [0, 4, "train/kl"],
        [0, 4, "train/loss"],
        [1, 9, "test/kl_per_unit/0"],
        [1, 9, "test/kl_per_unit/1"],
    ]
    np.testing.assert_array_equal(frame["value"], [1.5, np.nan, 4, 0.5])
    assert (frame["value"].dtype, frame["step"].dtype) == (float, int)
    assert {*frame["directory"]} == {str(run)}


def test_curves_are_grouped_by_what_differs_between_the_runs(tmp_path: Path) -> None:
    logged(copied(tmp_path / "a"), LINES[0])
    other = [
        ("kl_weight: 2.0", "kl_weight: 5.0"),
        ("hidden_sizes: []", "hidden_sizes: [3]"),
        ("smoke", "depth: 1\nsmoke"),
    ]
    logged(unfinished(tmp_path / "b", *other), {**LINES[0], "train/kl": 2.5}, LINES[1])
    frame = load_runs(tmp_path, curves=True)
    sizes = [f"config.model.{network}.hidden_sizes" for network in ("encoder", "decoder")]
    assert [*frame][6:] == ["config.kl_weight", "config.seed", *sizes, "config.depth"]
    assert frame[sizes[0]].tolist() == [[]] * 2 + [[3]] * 4
    kl = frame[frame["name"] == "train/kl"].groupby(["config.kl_weight", "config.seed"])["value"].mean()
    assert kl.to_dict() == {(2.0, 0): 1.5, (5.0, 0): 2.5}


@pytest.mark.parametrize(
    "damage",
    ["{", "7", "\0\0", "[]", '{"a": 1}', '{"step": "x", "epoch": 0, "a": 1}', '{"step": 1, "epoch": 0, "a": {}}'],
)
def test_damaged_lines_cost_no_other(damage: str, tmp_path: Path) -> None:
    logged(copied(tmp_path / "a"), *LINES)
    path = copied(tmp_path / "b") / "metrics.jsonl"
    path.write_text(f"{damage}\n{json.dumps(LINES[0])}\n{damage}\n{json.dumps(LINES[1])}\n")
    with pytest.warns(UserWarning, match=re.escape(str(path))) as told:
        frame = load_runs(tmp_path, curves=True)
    assert len(told) == 1
    one, other = (frame[frame["run"] == run].drop(columns=["run", "directory"]) for run in "ab")
    pd.testing.assert_frame_equal(one, other.set_index(one.index))
    assert len(one) == 4


def test_curves_that_are_no_file_cost_no_other(tmp_path: Path) -> None:
    logged(copied(tmp_path / "a"), *LINES)
    path = copied(tmp_path / "b") / "metrics.jsonl"
    path.unlink()
    path.mkdir()
    with pytest.warns(UserWarning, match=re.escape(str(path))):
        assert {*load_runs(tmp_path, curves=True)["run"]} == {"a"}


def test_runs_without_curves_are_an_empty_frame(tmp_path: Path) -> None:
    (copied(tmp_path / "a") / "metrics.jsonl").unlink()
    frame = load_runs(tmp_path, curves=True)
    assert frame.empty
    assert {"run", "epoch", "step", "name", "value", "config.kl_weight", "config.seed"} <= {*frame}
    assert frame["value"].dtype == float


def test_damaged_curves_do_not_matter_where_they_are_not_asked_for(tmp_path: Path) -> None:
    (copied(tmp_path / "a") / "metrics.jsonl").write_text("{\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(load_runs(tmp_path)) == 1


def test_a_folder_may_be_a_word_a_path_or_several() -> None:
    both = list(load_runs(OF_0_3)["run"])
    assert both == [AT_WEIGHT_1.name, AT_WEIGHT_2.name]
    for folder in (str(OF_0_3), [AT_WEIGHT_2, str(AT_WEIGHT_1)], (OF_0_3, AT_WEIGHT_1), OF_0_3.iterdir()):
        assert list(load_runs(folder)["run"]) == both
    assert list(load_runs(AT_WEIGHT_2)["run"]) == both[1:]


@pytest.mark.parametrize("curves", [False, True])
@pytest.mark.parametrize("name", ["nowhere", "empty", "foreign", "file"])
def test_no_runs_are_an_error(name: str, curves: bool, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "config.yaml").write_text("a: 1")
    (tmp_path / "file").touch()
    with pytest.raises(UserError) as missing:
        load_runs(tmp_path / name, curves=curves)
    assert (missing.value.code, missing.value.about) == (Code.NOT_FOUND, (str(tmp_path / name),))


def test_no_folders_are_an_error() -> None:
    with pytest.raises(UserError) as missing:
        load_runs([])
    assert missing.value.code is Code.NOT_FOUND


def test_without_pandas_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError) as missing:
        load_runs(OF_0_3)
    assert (missing.value.code, missing.value.about) == (Code.UNAVAILABLE, ("pandas",))


def test_neither_the_import_nor_finished_runs_load_what_is_heavy() -> None:
    lines = [
        "import sys",
        "from vae_lightning.runs.loading import load_runs",
        "assert not {'pandas', 'torch', 'lightning'} & {*sys.modules}",
        f"assert len(load_runs({str(OF_0_3)!r})) == 2",
        "assert not {'torch', 'lightning'} & {*sys.modules}",
    ]
    assert subprocess.run([sys.executable, "-c", "\n".join(lines)], check=False).returncode == 0
