"""The judgements of the pool, as tables, with processes that follow a script and a clock of the test's own."""

import io
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fakes import FINISHED, REFUSED, SAVED, Attempt, Machine, job, write_results
from rich.console import Console

from vae_lightning.errors import Interrupted
from vae_lightning.runs.directory import CONFIG
from vae_lightning.runs.status import RunStatus
from vae_lightning.signals import REPEAT_S
from vae_lightning.sweeps.jobs import Job
from vae_lightning.sweeps.outcome import LOST
from vae_lightning.sweeps.pool import POLL_S, TO_SAVE_S, TO_STOP_S, Pool, PoolSettings
from vae_lightning.sweeps.progress import SweepProgress
from vae_lightning.sweeps.slots import Slot, Slots

DEFAULTS = {"n_slots": None, "threads": None, "gpus": None, "jobs_per_gpu": 1, "retries": 0, "timeout": None}
DEFAULTS |= {"memory_gb": None, "fail_fast": False, "returns": None}
BEGIN = 1000.0
SIGINT_ONCE = {BEGIN + 2: partial(signal.raise_signal, signal.SIGINT)}
HANGS = Attempt(seconds=1e6, saves=None)
LONG = Attempt(seconds=1e6)
FAILS = Attempt(exit_code=1, outcome=REFUSED)


def pool_of(jobs: list[Job], machine: Machine, n_slots: int = 2, **settings: Any) -> Pool:
    progress = SweepProgress(jobs, Console(file=io.StringIO()), "fakes", machine.clock)
    slots = Slots([Slot(number, None) for number in range(n_slots)], threads=1)
    chosen = PoolSettings(**{**DEFAULTS, **settings})
    return Pool(jobs, chosen, slots, machine.start, progress, machine.clock, machine.wait)


@pytest.mark.parametrize(
    ("attempt", "status", "note"),
    [
        (Attempt(), RunStatus.FINISHED, ""),
        (FAILS, RunStatus.FAILED, REFUSED.reason),
        (Attempt(exit_code=1, outcome=None), RunStatus.FAILED, "the last line of the log"),
        (Attempt(exit_code=-signal.SIGKILL, outcome=None), RunStatus.FAILED, "SIGKILL"),
        (Attempt(exit_code=128 + signal.SIGKILL, outcome=None), RunStatus.FAILED, "SIGKILL"),
        (Attempt(exit_code=-signal.SIGSEGV, outcome=None), RunStatus.FAILED, "SIGSEGV"),
        (Attempt(exit_code=LOST, outcome=None), RunStatus.FAILED, "exit code"),
        (Attempt(exit_code=0, outcome=None), RunStatus.FAILED, "the last line of the log"),
        (Attempt(does=lambda _: None), RunStatus.FAILED, "results"),
        (Attempt(exit_code=143, outcome=SAVED), RunStatus.FAILED, "SIGTERM"),
        (Attempt(exit_code=-signal.SIGKILL, outcome=FINISHED), RunStatus.FINISHED, ""),  # after all was written
    ],
    ids=["finished", "user error", "no record", "killed", "command killed", "crashed", "server lost", "no results",
         "torn results", "stopped from elsewhere", "killed after its record"],
)  # fmt: skip
def test_how_a_job_ended(attempt: Attempt, status: RunStatus, note: str, tmp_path: Path) -> None:
    jobs = [job(number, tmp_path) for number in range(2)]
    jobs[0].log.write_text("first\nthe last line of the log\n\n")
    jobs[0].outcome.write_text(FINISHED.model_dump_json())  # of an earlier attempt, which must not count
    pool_of(jobs, Machine({0: [attempt]})).run()
    assert jobs[0].status is status
    assert note in jobs[0].note
    assert bool(jobs[0].note) == bool(note)
    assert bool(jobs[0].results) == (status is RunStatus.FINISHED)
    assert jobs[1].status is RunStatus.FINISHED  # whatever befell the first


def test_a_failure_is_noted_in_the_run_with_its_log(tmp_path: Path) -> None:
    failed = job(0, tmp_path)
    assert failed.directory is not None
    (failed.directory / CONFIG).write_text("kl_weight: 1")
    pool_of([failed], Machine({0: [FAILS]})).run()
    written = (failed.directory / "failure.json").read_text()
    assert REFUSED.reason in written
    assert str(failed.log) in written


@pytest.mark.parametrize(
    ("attempt", "status", "killed", "seconds"),
    [
        (LONG, RunStatus.FAILED, False, 100 + 1),
        (HANGS, RunStatus.FAILED, True, 100 + TO_SAVE_S),
        (Attempt(seconds=105, saves=None), RunStatus.FINISHED, False, 105),
        (Attempt(seconds=99), RunStatus.FINISHED, False, 99),
    ],
    ids=["saves", "hangs", "finishes meanwhile", "is in time"],
)
def test_a_job_past_its_time(attempt: Attempt, status: RunStatus, killed: bool, seconds: float, tmp_path: Path) -> None:
    jobs, machine = [job(0, tmp_path)], Machine({0: [attempt]})
    pool_of(jobs, machine, timeout=100.0).run()
    assert jobs[0].status is status
    assert ("hydra.launcher.timeout" in jobs[0].note) == (status is RunStatus.FAILED)
    assert machine.started[0].was_killed == killed
    assert jobs[0].seconds == pytest.approx(seconds, abs=4 * POLL_S)


@pytest.mark.parametrize(
    ("script", "retries", "status", "attempts"),
    [
        ([FAILS, Attempt()], 1, RunStatus.FINISHED, 2),
        ([FAILS], 2, RunStatus.FAILED, 3),
        ([HANGS, Attempt()], 1, RunStatus.FINISHED, 2),
        ([Attempt()], 3, RunStatus.FINISHED, 1),
    ],
    ids=["helps", "does not help", "after a time-out", "not needed"],
)
def test_a_job_that_failed_is_tried_again(
    script: list[Attempt], retries: int, status: RunStatus, attempts: int, tmp_path: Path
) -> None:
    jobs, machine = [job(0, tmp_path), job(1, tmp_path)], Machine({0: script})
    pool_of(jobs, machine, n_slots=1, retries=retries, timeout=100.0).run()
    assert (jobs[0].status, jobs[0].attempts) == (status, attempts)
    order = [process.task.log.stem for process in machine.started]
    assert order == ["0", "1"] + ["0"] * (attempts - 1)  # after the others


@pytest.mark.parametrize("replaced", [True, False])
@pytest.mark.parametrize("attempt", [FAILS, Attempt(exit_code=-9, outcome=None)], ids=["recorded", "killed"])
def test_a_job_that_starts_afresh_does_so_once(replaced: bool, attempt: Attempt, tmp_path: Path) -> None:
    """Its earlier run's results are none of its own; once that run is set aside, the next attempt continues."""
    again = job(0, tmp_path, rerun=True)
    assert again.directory is not None
    (again.directory / CONFIG).write_text("rerun: true")
    write_results(again.directory)
    again.replaces = again.directory.stat().st_ino
    assert again.awaits_replacement
    machine = Machine({0: [attempt, attempt]})
    begin = machine.start

    def start(task: Any) -> Any:
        if replaced and not machine.started:
            task.config.directory.rename(tmp_path / "aside.20260101-000000")
            task.config.directory.mkdir()
            (task.config.directory / CONFIG).write_text("rerun: true")
        return begin(task)

    pool = pool_of([again], machine, retries=1)
    pool.start = start
    pool.run()
    assert [process.task.config.rerun for process in machine.started] == [True, not replaced]
    assert again.status is RunStatus.FAILED
    assert again.results == {}


@pytest.mark.parametrize(
    ("changed", "about"), [({"devices": 3}, "trainer.devices=3"), ({"num_nodes": 2}, "trainer.num_nodes=2")]
)
def test_a_job_for_which_there_is_no_room_fails_alone(changed: dict[str, Any], about: str, tmp_path: Path) -> None:
    jobs = [job(0, tmp_path, **changed), job(1, tmp_path)]
    pool_of(jobs, Machine()).run()
    assert [each.status for each in jobs] == [RunStatus.FAILED, RunStatus.FINISHED]
    assert about in jobs[0].note


def test_a_process_that_does_not_start_gives_its_slot_back(tmp_path: Path) -> None:
    jobs = [job(number, tmp_path) for number in range(4)]
    pool = pool_of(jobs, Machine(refuses_to_start=frozenset({0, 1})))
    pool.run()
    assert [each.status for each in jobs] == [RunStatus.FAILED] * 2 + [RunStatus.FINISHED] * 2
    assert len(pool.slots.free) == 2


def test_no_more_jobs_than_slots_and_none_is_passed_over(tmp_path: Path) -> None:
    jobs = [job(0, tmp_path), job(1, tmp_path, devices=2), *(job(number, tmp_path) for number in range(2, 8))]
    machine = Machine({0: [Attempt(seconds=30)]})
    pool_of(jobs, machine).run()
    assert {each.status for each in jobs} == {RunStatus.FINISHED}
    assert machine.most_at_once == 2
    assert [process.task.log.stem for process in machine.started] == [str(number) for number in range(8)]
    assert [process.task.alone for process in machine.started] == [False, True, *[False] * 6]


def test_the_same_run_twice_is_begun_once(tmp_path: Path) -> None:
    jobs, machine = [job(0, tmp_path), job(0, tmp_path, same_as=0)], Machine()
    pool_of(jobs, machine).run()
    assert len(machine.started) == 1


@pytest.mark.parametrize("other", [LONG, HANGS, Attempt(seconds=12, saves=None)], ids=["saves", "hangs", "finishes"])
def test_the_first_failure_stops_a_sweep_that_fails_fast(other: Attempt, tmp_path: Path) -> None:
    jobs, machine = [job(number, tmp_path) for number in range(3)], Machine({0: [FAILS], 1: [other]})
    pool_of(jobs, machine, fail_fast=True, retries=0).run()
    finished = other.seconds == 12
    assert [each.status for each in jobs] == [
        RunStatus.FAILED,
        RunStatus.FINISHED if finished else RunStatus.INTERRUPTED,
        RunStatus.WAITING,
    ]
    assert machine.started[1].was_killed == (other is HANGS)


def test_a_job_that_was_refused_stops_a_sweep_that_fails_fast_before_it_begins(tmp_path: Path) -> None:
    jobs, machine = [job(0, tmp_path, status=RunStatus.FAILED), job(1, tmp_path)], Machine()
    pool_of(jobs, machine, fail_fast=True).run()
    assert machine.started == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
def test_a_signal_lets_all_jobs_save(number: signal.Signals, tmp_path: Path) -> None:
    before = signal.getsignal(number)
    jobs = [job(index, tmp_path) for index in range(3)]
    machine = Machine({0: [LONG], 1: [LONG]}, at={BEGIN + 2: partial(os.kill, os.getpid(), number)})
    with pytest.raises(Interrupted) as stopped:
        pool_of(jobs, machine).run()
    assert stopped.value.exit_code == 128 + number
    assert [each.status for each in jobs] == [RunStatus.INTERRUPTED] * 2 + [RunStatus.WAITING]
    assert not any(process.was_killed for process in machine.started)
    assert signal.getsignal(number) == before


@pytest.mark.parametrize(
    ("second_after", "killed_after"),
    [(None, TO_STOP_S), (REPEAT_S / 2, TO_STOP_S), (REPEAT_S + 5, REPEAT_S + 5)],
    ids=["one signal", "the same one passed on", "a second one"],
)
def test_jobs_that_do_not_listen_are_killed(second_after: float | None, killed_after: float, tmp_path: Path) -> None:
    jobs, machine = [job(0, tmp_path)], Machine({0: [HANGS]}, at=dict(SIGINT_ONCE))
    if second_after:
        machine.at[BEGIN + 2 + second_after] = partial(signal.raise_signal, signal.SIGINT)
    with pytest.raises(Interrupted) as stopped:
        pool_of(jobs, machine).run()
    assert stopped.value.exit_code == 130
    assert "1 jobs" in str(stopped.value)
    assert jobs[0].status is RunStatus.INTERRUPTED
    assert machine.started[0].was_killed
    assert machine.now - BEGIN == pytest.approx(2 + killed_after, abs=4 * POLL_S)


def test_an_error_of_the_pool_itself_leaves_no_job_running(tmp_path: Path) -> None:
    machine = Machine({0: [LONG], 1: [HANGS]}, at={BEGIN + 2: partial(divmod, 1, 0)})
    with pytest.raises(ZeroDivisionError):
        pool_of([job(0, tmp_path), job(1, tmp_path)], machine).run()
    assert [process.code is not None for process in machine.started] == [True, True]
