"""vae-status: which runs are finished, running, failed or interrupted."""

import sys
from pathlib import Path

import pytest
from filelock import FileLock

from vae_lightning.cli.status import status
from vae_lightning.errors import UserError
from vae_lightning.runs.directory import record_failure, write_config


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
def test_each_state_has_its_line(
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
    told = capsys.readouterr().out
    assert told.splitlines()[0] == "1 failed, 1 running, 1 interrupted, 1 foreign"
    assert "2/3" in told
    assert ("-12.50" in told) == (width == 160)
    assert "ValueError: [red] paint" in told


def test_nothing_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no run in it or below it"):
        called(monkeypatch, tmp_path)
    with pytest.raises(UserError, match="not a directory"):
        called(monkeypatch, tmp_path / "nowhere")
