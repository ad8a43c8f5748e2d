"""Sweeps in real processes, one proof for each promise: failures stay alone, nothing is done twice, all is saved."""

import json
import os
import signal
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from commands import Sweep, note, until

from vae_lightning.runs.comparison import run_differences
from vae_lightning.runs.status import RunStatus, find_runs

FINE = "abcdefgh"


def statuses(sweep: Sweep) -> list[RunStatus]:
    return [run.status for run in find_runs([sweep.runs]).runs]


def lines_of(output: str, status: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith(status)]


def outcomes(sweep: Sweep) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(sweep.runs.glob(".sweeps/*/*.outcome.json"))]


def test_ctrl_c_lets_all_jobs_save_and_a_failure_stays_alone(sweep: Callable[..., Sweep]) -> None:
    asked = sweep("trainer.max_epochs=100000", faults="raise,a,b,c")
    (asked.faults / "on").touch()
    with asked.start() as process:
        until(lambda: len({path.parent for path in asked.runs.glob("default/*/checkpoints/*.ckpt")}) == 3)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "SIGINT" in errors
    assert "Traceback" not in errors
    assert len(lines_of(output, "failed 0")) == 1
    assert sorted(statuses(asked)) == ["failed", "interrupted", "interrupted"]  # the last was not begun
    assert [(found["status"], found["exit_code"]) for found in outcomes(asked)] == [
        ("failed", 1),
        ("interrupted", 143),
        ("interrupted", 143),
    ]
    assert "ArithmeticError" in outcomes(asked)[0]["reason"]


@pytest.mark.slow
def test_four_kinds_of_failure_leave_the_others_alone_and_are_all_that_is_run_again(
    sweep: Callable[..., Sweep],
) -> None:
    """Twelve jobs on two pretended GPUs: one raises, one is killed, one hangs, one wants too much memory."""
    faults = f"hang,{','.join(FINE[:4])},raise,wait,memory,{','.join(FINE[4:])}"
    limits = ["hydra.launcher.timeout=90", "hydra.launcher.memory_gb=4", "trainer.max_epochs=2"]
    asked = sweep(*limits, "hydra.launcher.gpus=[0,1]", faults=faults)
    (asked.faults / "on").touch()
    with asked.start() as process:
        os.kill(until(lambda: note(asked, "wait", "fault"))["pid"], signal.SIGKILL)
        _, errors = process.communicate()
    assert process.returncode == 1
    failed = lines_of(errors, "FAILED")
    assert len(failed) == 4
    for reason in ("ArithmeticError", "SIGKILL", "allocate memory", "hydra.launcher.timeout"):
        assert sum(reason in line for line in failed) == 1
    assert any(line.startswith("  | ArithmeticError") for line in errors.splitlines())  # the last line of its log
    assert (statuses(asked).count(RunStatus.FINISHED), statuses(asked).count(RunStatus.FAILED)) == (8, 4)
    used: dict[str, list[tuple[float, float]]] = {}
    # The one that hangs may hold its GPU until all others are done.
    for name, last in (("hang", "fault"), *((name, "ended") for name in FINE)):
        began, ended = note(asked, name, "began"), note(asked, name, last)
        assert began["CUDA_VISIBLE_DEVICES"] == ended["CUDA_VISIBLE_DEVICES"]
        assert began["threads"] == 1
        used.setdefault(began["CUDA_VISIBLE_DEVICES"], []).append((began["at"], ended["at"]))
    assert set(used) == {"0", "1"}
    for intervals in used.values():
        assert all(first[1] < second[0] for first, second in pairwise(sorted(intervals)))

    (asked.faults / "on").unlink()
    again = asked.do()
    assert (again.returncode, again.stderr) == (0, "")
    assert len(lines_of(again.stdout, "running")) == 4
    assert set(statuses(asked)) == {RunStatus.FINISHED}


@pytest.mark.slow
def test_a_killed_sweep_stops_its_jobs_and_ends_as_if_it_had_not_been_killed(sweep: Callable[..., Sweep]) -> None:
    choices = ["trainer.max_epochs=30", "kl_weight=1,2,5"]
    asked, undisturbed = sweep(*choices), sweep(*choices, runs="undisturbed")
    with asked.start() as process:
        until(lambda: list(asked.runs.glob("default/*/results.json")))
        until(lambda: list(asked.runs.glob("default/*-w5-*/checkpoints/*.ckpt")))
        process.kill()
    assert RunStatus.FINISHED in statuses(asked)
    until(lambda: RunStatus.RUNNING not in statuses(asked))
    finished = {path: path.stat().st_mtime for path in asked.runs.glob("default/*/results.json")}
    again = asked.do()
    assert again.returncode == 0
    assert len(lines_of(again.stdout, "running")) == 3 - len(finished) < 3
    assert all(path.stat().st_mtime == then for path, then in finished.items())
    assert undisturbed.do().returncode == 0
    pairs = [(run.directory, undisturbed.runs / "default" / run.name) for run in find_runs([asked.runs]).runs]
    assert len(pairs) == 3
    for one, other in pairs:
        assert run_differences(one, other) == []


@pytest.mark.slow
def test_jobs_of_two_ranks_are_commands_of_their_own(sweep: Callable[..., Sweep]) -> None:
    ranks = ["trainer.devices=2", "trainer.strategy=ddp", "trainer.max_epochs=1"]
    asked = sweep(*ranks, "wandb.group=with spaces, and a comma", faults="a,b")
    done = asked.do()
    assert done.returncode == 0, done.stderr
    assert statuses(asked) == [RunStatus.FINISHED] * 2
    for fault in "ab":
        of_ranks = [note(asked, fault, "began", rank) for rank in range(2)]
        assert len({told["pid"] for told in of_ranks}) == 2
        assert not (asked.faults / f"{fault}.began.2.json").exists()
    assert [found["status"] for found in outcomes(asked)] == ["finished"] * 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_whole_group_lets_all_jobs_save(number: signal.Signals, sweep: Callable[..., Sweep]) -> None:
    """The fork server is in it. A closed terminal sends it, and takes what is printed away; so does ``timeout``."""
    asked = sweep("trainer.max_epochs=100000", "kl_weight=1,2")
    with asked.start(start_new_session=True) as process:
        until(lambda: len({path.parent for path in asked.runs.glob("default/*/checkpoints/*.ckpt")}) == 2)
        assert process.stdout is not None
        process.stdout.close()
        os.killpg(process.pid, number)
        assert process.stderr is not None
        errors = process.stderr.read()
        process.wait(timeout=120)
    assert process.returncode == 128 + number
    assert number.name in errors
    assert statuses(asked) == [RunStatus.INTERRUPTED] * 2


@pytest.mark.slow
def test_a_grown_grid_runs_only_what_is_new_and_one_run_twice_is_one_run(sweep: Callable[..., Sweep]) -> None:
    assert sweep("trainer.max_epochs=1", "kl_weight=1").do().returncode == 0
    grown = sweep("trainer.max_epochs=1", "kl_weight=1,2,2.0").do()
    assert grown.returncode == 0
    assert [line.split()[1] for line in lines_of(grown.stdout, "running")] == ["1"]
    [twice] = lines_of(grown.stdout, "waiting")
    assert (twice.split()[1], twice.endswith("job 1")) == ("2", True)
    nothing_new = sweep("trainer.max_epochs=1", "kl_weight=1,2")
    assert nothing_new.do().returncode == 0
    # There a sweeper of somebody else's writes its answer, also where every job was finished before.
    assert len(list(nothing_new.runs.glob(".sweeps/*/"))) == 3
