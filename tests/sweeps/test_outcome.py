"""The record of how a job ended: written by the process itself, read by the sweep."""

import contextlib
import json
import signal
from pathlib import Path

import pytest
from compose_once import compose_once

from vae_lightning.config import checked
from vae_lightning.errors import Code, Interrupted, UserError
from vae_lightning.runs.status import RunStatus
from vae_lightning.sweeps.outcome import LOST, Outcome, outcome_of, outcome_path, outcome_recorded, read_outcome

CONFIG = checked(compose_once("data=digits"))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, (RunStatus.FINISHED, 0, None, ())),
        (UserError("x", Code.LOCKED, ["runs/a"]), (RunStatus.FAILED, 1, Code.LOCKED, ("runs/a",))),
        (ArithmeticError("x"), (RunStatus.FAILED, 1, None, ())),
        (Interrupted(signal.SIGTERM), (RunStatus.INTERRUPTED, 143, None, ())),
        (KeyboardInterrupt(), (RunStatus.INTERRUPTED, 130, None, ())),
    ],
    ids=["finished", "user error", "another error", "signal", "second ctrl-c"],
)
def test_each_end_has_its_record(
    error: BaseException | None, expected: tuple[RunStatus, int, Code | None, tuple[str, ...]], tmp_path: Path
) -> None:
    path = outcome_path(tmp_path / "logs" / "0-a.w0.5.log")
    assert path.name == "0-a.w0.5.outcome.json"
    with contextlib.suppress(BaseException), outcome_recorded(path, CONFIG):
        if error:
            raise error
    found = read_outcome(path)
    assert found is not None
    assert (found.status, found.exit_code, found.code, found.about) == expected
    assert found.run_directory == str(CONFIG.directory)
    assert found.began_at > 0
    assert bool(found.reason) == (error is not None)
    assert [path.name for path in path.parent.iterdir()] == [path.name]  # no temporary file is left


def test_the_error_goes_on(tmp_path: Path) -> None:
    with pytest.raises(Interrupted), outcome_recorded(tmp_path / "0.json", CONFIG):
        raise Interrupted(signal.SIGTERM)


def test_a_record_is_gone_while_the_next_attempt_runs(tmp_path: Path) -> None:
    path = tmp_path / "0.outcome.json"
    path.write_text(Outcome(status=RunStatus.FAILED).model_dump_json())
    with outcome_recorded(path, CONFIG):
        assert read_outcome(path) is None


@pytest.mark.parametrize(
    ("exit_code", "died", "part"),
    [(-9, True, "SIGKILL"), (137, True, "SIGKILL"), (-11, True, "SIGSEGV"), (LOST, True, ""), (1, False, "last line")],
)
def test_without_a_record_the_exit_code_and_the_log_are_all_there_is(
    exit_code: int, died: bool, part: str, tmp_path: Path
) -> None:
    found = outcome_of(tmp_path / "nothing", exit_code, "last line")
    assert (found.status, found.died) == (RunStatus.FAILED, died)
    assert part in found.reason


@pytest.mark.parametrize("content", ["", '{"status": "fin', "[]", '{"status": "unheard of"}'])
def test_a_record_that_cannot_be_read_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "torn").write_text(content)
    assert read_outcome(tmp_path / "torn") is None
    assert outcome_of(tmp_path / "torn", 1, "").reason == "exit code 1"


def test_the_record_is_plain_json(tmp_path: Path) -> None:
    with outcome_recorded(tmp_path / "0.json", CONFIG):
        pass
    keys = {"status", "reason", "exit_code", "code", "about", "began_at", "run_directory", "died"}
    assert json.loads((tmp_path / "0.json").read_text()).keys() == keys
