"""The pool, with real processes: nothing that befalls one job takes another down, and nothing is done twice."""

import json
import os
import signal
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from commands import Sweep

from vae_lightning.runs.comparison import run_differences
from vae_lightning.runs.status import RunStatus, find_runs

FINE = "abcdefgh"


def until(found: Callable[[], Any], seconds: float = 120) -> Any:
    """Wait until something is there, and return it."""
    for _ in range(int(seconds / 0.1)):
        try:
            if result := found():
                return result
        except (OSError, ValueError):
            pass
        time.sleep(0.1)
    raise TimeoutError


def note(sweep: Sweep, fault: str, what: str, rank: int = 0) -> dict[str, Any]:
    return json.loads((sweep.faults / f"{fault}.{what}.{rank}.json").read_text())


def test_four_kinds_of_failure_leave_the_others_alone_and_are_all_that_is_run_again(
    sweep: Callable[..., Sweep],
) -> None:
    faults = f"hang,{','.join(FINE[:4])},raise,wait,memory,{','.join(FINE[4:])}"
    limits = ["hydra.launcher.timeout=40", "hydra.launcher.memory_gb=4", "trainer.max_epochs=2"]
    asked = sweep(*limits, faults=faults)
    (asked.faults / "on").touch()
    with asked.start() as process:
        os.kill(until(lambda: note(asked, "wait", "fault"))["pid"], signal.SIGKILL)
        output, errors = process.communicate()
    assert process.returncode == 1
    assert "4 of 12 jobs failed" in errors
    for reason in (
        "ArithmeticError: the job's own mistake",
        "killed (SIGKILL): by hand, or by the system for want of memory",
        "can't allocate memory",
        "not done after 40 s (hydra.launcher.timeout), ended",
    ):
        assert sum(reason in line for line in errors.splitlines() if line.startswith("FAILED")) == 1
    assert "  | ArithmeticError: the job's own mistake" in errors  # the last line of its log
    assert "Traceback" not in errors.split("FAILED")[0]
    states = [run.status for run in find_runs([asked.runs]).runs]
    assert (states.count(RunStatus.FINISHED), states.count(RunStatus.FAILED)) == (8, 4)
    table = output[output.index("test images, nats per image") :]
    assert sum(f"beta_schedule.fault={name}" in table for name in FINE) == 8

    (asked.faults / "on").unlink()
    again = asked.do()
    assert (again.returncode, again.stderr) == (0, "")
    lines = again.stdout.splitlines()
    assert sum(line.startswith("finished before") for line in lines) == 8
    assert sum(line.startswith("running") for line in lines) == 4
    assert {run.status for run in find_runs([asked.runs]).runs} == {RunStatus.FINISHED}


def test_a_killed_sweep_stops_its_jobs_and_ends_as_if_it_had_not_been_killed(sweep: Callable[..., Sweep]) -> None:
    choices = ["trainer.max_epochs=30", "kl_weight=1,2,5"]
    asked, undisturbed = sweep(*choices), sweep(*choices, runs="undisturbed")
    with asked.start() as process:
        until(lambda: list(asked.runs.glob("default/*/results.json")))
        until(lambda: list(asked.runs.glob("default/*-w5-*/checkpoints/*.ckpt")))
        process.kill()
    states = {run.name: run.status for run in find_runs([asked.runs]).runs}
    assert RunStatus.FINISHED in states.values()
    until(lambda: not [run for run in find_runs([asked.runs]).runs if run.status is RunStatus.RUNNING])
    finished = {path: path.stat().st_mtime for path in asked.runs.glob("default/*/results.json")}
    again = asked.do()
    assert again.returncode == 0
    assert again.stdout.count("finished before") >= len(finished) > 0
    assert all(path.stat().st_mtime == then for path, then in finished.items())
    assert undisturbed.do().returncode == 0
    pairs = [(run.directory, undisturbed.runs / "default" / run.name) for run in find_runs([asked.runs]).runs]
    assert len(pairs) == 3
    for one, other in pairs:
        assert run_differences(one, other) == []


def test_two_pretended_gpus_have_one_job_each_at_a_time(sweep: Callable[..., Sweep]) -> None:
    asked = sweep("hydra.launcher.gpus=[0,1]", "trainer.max_epochs=1", faults=",".join(FINE))
    done = asked.do()
    assert done.returncode == 0, done.stderr
    used: dict[str, list[tuple[float, float]]] = {}
    for name in FINE:
        began, ended = note(asked, name, "began"), note(asked, name, "ended")
        assert began["CUDA_VISIBLE_DEVICES"] == ended["CUDA_VISIBLE_DEVICES"]
        assert began["threads"] == 1
        used.setdefault(began["CUDA_VISIBLE_DEVICES"], []).append((began["at"], ended["at"]))
    assert set(used) == {"0", "1"}
    assert sum(map(len, used.values())) == 8
    for intervals in used.values():
        assert all(first[1] < second[0] for first, second in pairwise(sorted(intervals)))


@pytest.mark.slow
def test_jobs_of_two_ranks_are_commands_of_their_own(sweep: Callable[..., Sweep]) -> None:
    ranks = ["trainer.devices=2", "trainer.strategy=ddp", "trainer.max_epochs=1"]
    asked = sweep(*ranks, "wandb.group=with spaces, and a comma", faults="a,b")
    done = asked.do()
    assert done.returncode == 0, done.stderr
    assert len(list(asked.runs.glob("default/*"))) == 2
    for fault in "ab":
        of_ranks = [note(asked, fault, "began", rank) for rank in range(2)]
        assert len({told["pid"] for told in of_ranks}) == 2
        assert not (asked.faults / f"{fault}.began.2.json").exists()
    assert {run.status for run in find_runs([asked.runs]).runs} == {RunStatus.FINISHED}


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_lets_all_jobs_save_and_the_same_command_goes_on(
    number: signal.Signals, sweep: Callable[..., Sweep]
) -> None:
    asked = sweep("trainer.max_epochs=100000", "kl_weight=1,2,5")
    with asked.start() as process:
        until(lambda: len({path.parent for path in asked.runs.glob("default/*/checkpoints/*.ckpt")}) == 2)
        process.send_signal(number)
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert f"{number.name}: all is saved; the same command" in errors
    assert "3 jobs are not finished; the same command (without rerun=true) goes on with them" in output
    assert "Traceback" not in errors
    assert [run.status for run in find_runs([asked.runs]).runs] == [RunStatus.INTERRUPTED] * 2


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)])
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
    assert f"{number.name}: all is saved" in errors
    assert [run.status for run in find_runs([asked.runs]).runs] == [RunStatus.INTERRUPTED] * 2


@pytest.mark.slow
def test_the_first_failure_stops_a_sweep_that_fails_fast_and_a_retry_helps_where_it_can(
    sweep: Callable[..., Sweep],
) -> None:
    one = ["hydra.launcher.n_slots=1", "trainer.max_epochs=2"]
    fast = sweep(*one, "hydra.launcher.fail_fast=true", faults="raise,a,b")
    (fast.faults / "on").touch()
    first = fast.do()
    assert first.returncode == 1
    assert "2 jobs are not finished" in first.stdout
    assert "running 1" not in first.stdout
    refused = sweep(*one, "hydra.launcher.fail_fast=true", "kl_weight=-1,1", runs="refused").do()
    assert refused.returncode == 1
    assert "running" not in refused.stdout
    again = sweep(*one, "hydra.launcher.retries=1", faults="raise")
    with again.start() as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "it is tried again" in line:
                (again.faults / "on").unlink()
                break
        output, _ = process.communicate()
    assert process.returncode == 0
    assert "done 0" in output


@pytest.mark.slow
def test_a_grown_grid_runs_only_what_is_new_and_one_run_twice_is_one_run(sweep: Callable[..., Sweep]) -> None:
    assert sweep("trainer.max_epochs=1", "kl_weight=1").do().returncode == 0
    grown = sweep("trainer.max_epochs=1", "kl_weight=1,2,2.0").do()
    assert grown.returncode == 0
    assert sum(line.startswith("running") for line in grown.stdout.splitlines()) == 1
    assert "the same run 2 digits" in grown.stdout
    assert ": as job 1" in grown.stdout
    nothing_new = sweep("trainer.max_epochs=1", "kl_weight=1,2")
    assert nothing_new.do().returncode == 0
    # There a sweeper of somebody else's writes its answer, also where every job was finished before.
    assert len(list(nothing_new.runs.glob(".sweeps/*/"))) == 3
