"""The progress of a sweep for a person: how far each run is, and the status of the jobs."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from fakes import RESULTS_OF_A_RUN, job
from rich.console import Console

from vae_lightning.runs.status import RunStatus
from vae_lightning.sweeps.curve_tail import CurveTail
from vae_lightning.sweeps.jobs import Job, failed_jobs, failure_report
from vae_lightning.sweeps.progress import SweepProgress, in_words


def write(folder: Path, *lines: dict[str, Any], torn: str = "") -> None:
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + torn)


def test_a_curve_tail_reads_what_is_new_and_knows_how_long_it_takes(tmp_path: Path) -> None:
    clock = [100.0]
    tail = CurveTail(tmp_path, n_epochs=4, clock=lambda: clock[0])
    tail.update()  # there is nothing yet
    assert (tail.epoch, tail.number("elbo", 2), tail.seconds_left()) == ("", "", None)
    lines = [{"step": 4, "epoch": 0, "train/elbo": -12.345}]
    write(tmp_path, *lines, torn='{"step": 9, "tra')
    tail.update()
    assert (tail.epoch, tail.number("elbo", 2), tail.seconds_left()) == ("1/4", "-12.35", None)
    clock[0] = 110.0
    lines.append({"step": 9, "epoch": 0, "test/elbo": -11.0, "test/active_units": 3.0, "test/kl": None})
    write(tmp_path, *lines)
    tail.update()
    assert (tail.number("active_units", 0), tail.number("elbo", 1), tail.number("kl", 1)) == ("3", "-11.0", "")
    assert tail.seconds_left() == pytest.approx((39 - 9) / (5 / 10))  # 5 steps took 10 s; 30 are left
    write(tmp_path, lines[0])  # continued from a checkpoint: the curves are shorter
    tail.update()
    assert tail.number("elbo", 2) == "-12.35"


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    """A job of each status, in the order of the statuses, and one that is the same run as the first."""
    found = [job(number, tmp_path, status=status) for number, status in enumerate(RunStatus)]
    found.append(job(0, tmp_path, same_as=0))
    found[3].note = "why [not]"
    found[2].results = RESULTS_OF_A_RUN
    assert found[1].directory is not None
    write(found[1].directory, {"step": 4, "epoch": 2, "test/elbo": -99.5, "test/active_units": 1})
    return found


def shown(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("height", [5, 40])
def test_on_a_terminal_it_is_a_table(jobs: list[Job], height: int) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120, height=height, legacy_windows=False)
    with SweepProgress(jobs, console, "2 slots") as progress:
        progress.update()
        progress.status_changed(jobs[3])
    lines = shown(console)
    counts = ", ".join(f"1 {status}" for status in RunStatus)
    assert any(counts in line for line in lines)
    assert any(f"FAILED 3 {jobs[3].name}: why [not]" in line for line in lines)
    row = next(line for line in lines if line.split()[:1] == ["1"])
    assert "3/10" in row
    assert "-99.50" in row


def test_elsewhere_it_is_lines(jobs: list[Job]) -> None:
    console = Console(file=io.StringIO(), width=60)
    with SweepProgress(jobs, console, "2 slots"):
        pass
    lines = shown(console)
    assert lines[0].endswith("2 slots")
    assert f"failed 3 {jobs[3].name}: why [not]" in lines
    [finished] = [line for line in lines if line.startswith("finished 2")]
    assert "-1.00" in finished
    assert "\x1b" not in "".join(lines)


def test_the_time_left_follows_from_the_jobs_that_are_done(tmp_path: Path) -> None:
    clock = [0.0]
    jobs = [job(number, tmp_path) for number in range(4)]
    console = Console(file=io.StringIO(), force_terminal=True, width=120, legacy_windows=False)
    with SweepProgress(jobs, console, "1 slot", lambda: clock[0]) as progress:
        jobs[0].begin(0.0)
        jobs[0].end(RunStatus.FINISHED, "", 20.0)
        clock[0] = 20.0
        progress.update()
    assert any("60 s" in line for line in shown(console))


def test_a_closed_pipe_does_not_stop_a_sweep(jobs: list[Job]) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with SweepProgress(jobs, Console(file=Closed()), "1 slot") as progress:
        progress.status_changed(jobs[3])
        assert progress.silent


def test_failures_come_with_the_last_lines_of_their_logs(jobs: list[Job]) -> None:
    jobs[3].log.write_text("\n".join(f"line {number}" for number in range(20)) + "\n\n")
    lines = failure_report(jobs).splitlines()
    assert f"FAILED 3 {jobs[3].name}: why [not]" in lines
    assert [line for line in lines if "|" in line] == [f"  | line {number}" for number in range(14, 20)]
    assert failed_jobs(jobs).about == (str(jobs[3].directory),)


@pytest.mark.parametrize(("seconds", "words"), [(9.4, "9 s"), (99.0, "99 s"), (150.0, "2 min"), (7200.0, "2.0 h")])
def test_lengths_of_time_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
