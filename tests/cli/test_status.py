"""vae-status: which runs are finished, running, failed or interrupted."""

import json
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from vae_lightning.cli.status import status
from vae_lightning.errors import Code, UserError
from vae_lightning.runs.directory import record_failure, set_aside, write_config
from vae_lightning.runs.status import RunStatus, find_runs

RESULTS = {"run": "a", "study": "s", "kl_weight": 1.0, "kl_weight_times_variance": None, "latent_dim": 1, "seed": 0}
RESULTS |= {"epochs": 1, "seconds": 1.0, "test/elbo": -1.0, "test/kl": 0.5, "test/distortion": 0.5}
RESULTS |= {"test/active_units": 1, "test/kl_per_unit": [0.5]}


def called(monkeypatch: pytest.MonkeyPatch, *arguments: object, width: int = 160) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys, "argv", ["vae-status", *map(str, arguments)])
    status()


def begun(folder: Path) -> Path:
    folder.mkdir(parents=True)
    about = {"kl_weight": 1.0, "latent_dim": 2, "seed": 0, "trainer": {"max_epochs": 3}}
    write_config(folder, {**about, "run": {"directory": str(folder)}, "runs_dir": "runs"})
    return folder


@pytest.mark.parametrize("width", [60, 160])
def test_each_status_has_its_line(
    width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun(tmp_path / "waits")
    record_failure(begun(tmp_path / "broke"), "ValueError: [red] paint")
    running = begun(tmp_path / "runs")
    (running / "metrics.jsonl").write_text('{"step": 4, "epoch": 1, "test/elbo": -12.5, "test/active_units": 2}\n')
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "results.json").write_text("{}")
    with FileLock(running / ".lock"):
        called(monkeypatch, tmp_path, width=width)
    output = capsys.readouterr().out
    assert output.splitlines()[0] == "1 failed, 1 running, 1 interrupted, 1 foreign"
    assert "2/3" in output
    assert ("-12.50" in output) == (width == 160)
    assert "ValueError: [red] paint" in output


def test_a_run_that_was_moved_or_renamed_is_still_a_run(tmp_path: Path) -> None:
    going = begun(tmp_path / "here" / "going")
    done = tmp_path / "here" / "a"
    done.mkdir()
    (done / "results.json").write_text(json.dumps(RESULTS))
    expected = {RunStatus.INTERRUPTED, RunStatus.FINISHED}
    assert {run.status for run in find_runs([tmp_path]).runs} == expected
    going.rename(tmp_path / "renamed")
    (tmp_path / "elsewhere").mkdir()
    done.rename(tmp_path / "elsewhere" / "a.b")
    found = find_runs([tmp_path])
    assert found.foreign == []
    assert {(run.name, run.status) for run in found.runs} == {
        ("renamed", RunStatus.INTERRUPTED),
        ("a.b", RunStatus.FINISHED),
    }


def test_a_path_may_be_relative_or_absolute_and_given_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(tmp_path / "runs" / "a")
    monkeypatch.chdir(tmp_path)
    begun(Path("runs/b"))  # a run whose own config has a relative path
    names = [run.directory for run in find_runs([Path("runs"), tmp_path / "runs", Path("runs/b")]).runs]
    assert names == [tmp_path / "runs" / "a", tmp_path / "runs" / "b"]
    monkeypatch.chdir(tmp_path / "runs" / "b")
    assert [run.name for run in find_runs([Path()]).runs] == ["b"]


def test_what_rerun_has_set_aside_does_not_count(tmp_path: Path) -> None:
    for _ in range(3):  # within a second, so that their names have numbers
        set_aside(begun(tmp_path / "a"))
    assert len(list(tmp_path.iterdir())) == 3
    assert find_runs([tmp_path]) == ([], [])


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_nothing_there_is_an_error(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError) as missing:
        called(monkeypatch, tmp_path / name)
    assert missing.value.code is Code.NOT_FOUND
    assert missing.value.about == (str(tmp_path / name),)
