"""What a person sees of a sweep: how far each run is, and how the jobs stand."""

import io
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from vae_lightning.sweeps import watch as module
from vae_lightning.sweeps.curve_tail import CurveTail
from vae_lightning.sweeps.jobs import Job, Standing, failure_report
from vae_lightning.sweeps.progress import SweepProgress, in_words

Config = dict[str, Any]


def write(folder: Path, *lines: dict[str, Any], torn: str = "") -> None:
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + torn)


def test_an_old_failure_is_no_reason_for_a_job_that_was_never_begun(tmp_path: Path) -> None:
    failure = tmp_path / "failure.json"
    failure.write_text(json.dumps({"reason": "yesterday's", "log": None}))
    os.utime(failure, (time.time() - 100, time.time() - 100))
    job = Job(0, (), {"run": {"directory": str(tmp_path)}}, tmp_path / "log")
    assert job.own_reason() is None
    failure.touch()
    assert job.own_reason() == "yesterday's"


def test_a_watch_reads_what_is_new_and_knows_how_long_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    watch = CurveTail(tmp_path, n_epochs=4)
    watch.look()  # there is nothing yet
    assert (watch.epoch, watch.number("elbo", 2), watch.seconds_left()) == ("", "", None)
    lines = [{"step": 4, "epoch": 0, "train/elbo": -12.345}]
    write(tmp_path, *lines, torn='{"step": 9, "tra')
    watch.look()
    assert (watch.epoch, watch.number("elbo", 2), watch.seconds_left()) == ("1/4", "-12.35", None)
    clock[0] = 110.0
    lines.append({"step": 9, "epoch": 0, "test/elbo": -11.0, "test/active_units": 3.0, "test/kl": None})
    write(tmp_path, *lines)
    watch.look()
    assert (watch.number("active_units", 0), watch.number("elbo", 1), watch.number("kl", 1)) == ("3", "-11.0", "")
    assert watch.seconds_left() == pytest.approx((39 - 9) / (5 / 10))  # 5 steps took 10 s; 30 are left
    write(tmp_path, lines[0])  # continued from a checkpoint: the curves are shorter
    watch.look()
    assert watch.number("elbo", 2) == "-12.35"


def job(number: int, standing: Standing, config: Config, log: Path, reason: str = "") -> Job:
    return Job(number, (f"seed={number}",), config, log, standing, reason)


@pytest.fixture
def jobs(configure: Callable[..., Config], tmp_path: Path) -> list[Job]:
    def config(number: int) -> Config:
        folder = tmp_path / "runs" / (f"run{number}" + "-long" * 30 * (number == 0))  # which must not push others aside
        folder.mkdir(parents=True)
        return {**configure("data=digits"), "run": {"directory": str(folder)}}

    found = [
        job(number, standing, config(number), tmp_path / f"{number}.log", "why [not]" * (standing == "failed"))
        for number, standing in enumerate(Standing)
    ]
    write(tmp_path / "runs" / "run1", {"step": 4, "epoch": 2, "test/elbo": -99.5, "test/active_units": 1})
    return found


@pytest.mark.parametrize("height", [5, 40])
def test_the_board_is_a_table_on_a_terminal(jobs: list[Job], height: int) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120, height=height, legacy_windows=False)
    with SweepProgress(jobs, console, "2 slots") as board:
        board.look()
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "1 waiting, 1 running, 1 done, 1 finished before, 1 the same run, 1 failed, 1 stopped" in shown
    assert "FAILED 5 run5: why [not]" in shown
    row = next(line for line in shown.splitlines() if "run1" in line)
    assert "3/10" in row
    assert "-99.50" in row


def test_elsewhere_it_is_lines(jobs: list[Job]) -> None:
    console = Console(file=io.StringIO(), width=60)
    with SweepProgress(jobs, console, "2 slots"):
        pass
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[0].endswith("2 slots")
    assert "failed 5 run5: why [not]" in lines
    assert "\x1b" not in "".join(lines)


def test_failures_come_with_the_last_lines_of_their_logs(jobs: list[Job]) -> None:
    jobs[5].log.write_text("\n".join(f"line {number}" for number in range(20)) + "\n\n")
    told = failure_report(jobs)
    assert told.startswith("1 of 7 jobs failed")
    assert "FAILED 5 run5: why [not]" in told
    assert [line for line in told.splitlines() if "|" in line] == [f"  | line {number}" for number in range(14, 20)]


@pytest.mark.parametrize(("seconds", "words"), [(9.4, "9 s"), (99.0, "99 s"), (150.0, "2 min"), (7200.0, "2.0 h")])
def test_lengths_of_time_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
