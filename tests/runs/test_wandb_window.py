"""W&B never holds a run up, and shows neither more nor less than the local curves."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from vae_lightning import training
from vae_lightning.callbacks import UnitMonitor
from vae_lightning.config import checked
from vae_lightning.errors import Interrupted, UserError
from vae_lightning.runs import wandb_curves, wandb_probe, wandb_window
from vae_lightning.runs.curve_logger import JsonLinesLogger
from vae_lightning.runs.curves import read_curves
from vae_lightning.runs.identity import identify

Config = dict[str, Any]
BIN = Path(sys.executable).parent
NO_ANSWER = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    wandb_probe.answers.cache_clear()


@pytest.fixture
def answering() -> Iterator[str]:
    """The address of a server that answers everything by 404."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def blackhole() -> Iterator[str]:
    """The address of a server that takes every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


# Whether it is there ------------------------------------------------------------------------------------------------


def test_without_an_account_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wandb_probe, "answers", lambda _: pytest.fail("asked"))
    assert wandb_probe.why_offline() == "no account here; wandb login makes one known"


def test_with_an_account_the_server_is_asked(monkeypatch: pytest.MonkeyPatch, answering: str, blackhole: str) -> None:
    monkeypatch.setattr(wandb_probe, "PROBE_TIMEOUT_S", 0.5)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", answering)
    assert wandb_probe.why_offline() is None
    for silent in (blackhole, NO_ANSWER):
        monkeypatch.setenv("WANDB_BASE_URL", silent)
        assert wandb_probe.why_offline() == f"no answer from {silent} in 0.5 s"


def test_an_account_in_netrc_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answering: str) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", answering)
    assert wandb_probe.why_offline() is not None
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password " + "0" * 40)
    assert wandb_probe.why_offline() is None


def test_a_process_asks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import requests

    asked: list[str] = []
    monkeypatch.setattr(requests, "head", lambda url, **_: asked.append(url))
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    for _ in range(3):
        assert wandb_probe.why_offline() is None
    assert len(asked) == 1


@pytest.mark.renders
def test_a_server_that_refuses_the_run_is_replaced_by_offline(
    tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answering: str
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", answering)
    monkeypatch.setattr(wandb_window, "START_TIMEOUT_S", 1.0)
    with pytest.raises(UserError, match=r"wandb.mode=online: (.|\n)*; auto would fall back to offline"):
        training.train(tiny("wandb.mode=online"))
    results = training.train(tiny("wandb.mode=auto"))
    assert results["steps"] == 30
    assert "W&B is offline (its server did not take the run" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "value"), [("WANDB_BASE_URL", "api.wandb.ai"), ("WANDB_MODE", "foo")])
def test_what_wandb_cannot_read_does_not_fail_a_run(
    name: str,
    value: str,
    tiny: Callable[..., Config],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(name, value)
    assert training.train(tiny("smoke=true", "wandb.mode=auto"))["steps"] == 4
    assert "W&B cannot start here (" in capsys.readouterr().out


@pytest.mark.renders
def test_a_silent_server_delays_a_run_by_ten_seconds_at_most(
    blackhole: str, tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bound that the timeouts promise, not a speed: a run with the silent server against one without."""
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", blackhole)

    def seconds(mode: str) -> float:
        started = time.monotonic()
        training.train(tiny("smoke=true", f"wandb.mode={mode}", "rerun=true"))
        assert ("W&B is offline (no answer" in capsys.readouterr().out) == (mode == "auto")
        return time.monotonic() - started

    seconds("offline")  # the first one imports
    assert seconds("auto") - seconds("offline") < 10


class TakesRuns(BaseHTTPRequestHandler):
    """As much of a W&B server as a run needs to begin; once ``silent`` is set it says nothing more."""

    silent: threading.Event

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.silent.wait(0):
            time.sleep(60)
        answer: dict[str, Any] = {}
        if self.path == "/graphql":
            question = json.loads(asked)
            project = {"id": "p", "name": "vae-lightning", "entity": {"id": "e", "name": "me"}}
            bucket = {"id": "b", "name": question["variables"].get("name"), "displayName": "a run", "project": project}
            taken = {"bucket": {**bucket, "config": "{}", "historyLineCount": 0}, "inserted": True}
            answer = {"data": {"upsertBucket": taken} if "upsertBucket" in question["query"] else {}}
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


def test_a_server_that_falls_silent_delays_the_end_by_ten_seconds_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    TakesRuns.silent = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), TakesRuns)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")

    def seconds_after_training(mode: str) -> float:
        command = [BIN / "vae-train", "data=digits", "model=linear", "trainer.max_epochs=3", f"wandb.mode={mode}"]
        with subprocess.Popen(
            [*command, f"runs_dir={tmp_path / mode}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("epoch   1/3"):
                    TakesRuns.silent.set()
                if line.startswith("epoch   3/3"):
                    break
            ended = time.monotonic()
            rest = process.communicate()[0]
            seconds = time.monotonic() - ended
        assert process.returncode == 0
        assert len(list((tmp_path / mode).rglob("results.json"))) == 1
        assert ("W&B has failed and is left alone" in rest) == (mode == "auto")
        assert ("Upload later: wandb sync" in rest) == (mode == "auto")
        assert "Traceback" not in rest
        return seconds

    assert seconds_after_training("auto") - seconds_after_training("offline") < 10
    server.shutdown()
    server.server_close()


# What it shows ------------------------------------------------------------------------------------------------------


def records(run_directory: Path) -> list[dict[str, Any]]:
    """Return what W&B's own reader finds in the one offline record of a run."""
    [folder] = (run_directory / "wandb").glob("offline-run-*")
    shown = subprocess.run(
        [BIN / "wandb", "leet", "inspect", "--json", folder], check=True, capture_output=True, text=True
    )
    return [json.loads(line) for line in shown.stdout.splitlines()]


def of_type(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [record[kind] for record in found if record["type"] == kind]


def assert_rows_are_the_curves(run_directory: Path, found: list[dict[str, Any]]) -> None:
    rows = [row["item"] for row in of_type(found, "history")]
    rows = [row for row in rows if not any(name.startswith("figures/") for name in row)]
    lines = read_curves(run_directory)
    assert len(rows) == len(lines) > 5
    for index, (row, line) in enumerate(zip(rows, lines, strict=True)):
        assert row["_step"] == index
        assert row["trainer/global_step"] == line.pop("step")
        for name, value in line.items():
            if isinstance(value, list):
                assert sum(row[f"{name}.values"]) == len(value)
                assert row[f"{name}.bins"][0] <= min(value)
                assert row[f"{name}.bins"][-1] >= max(value)
            else:
                assert row[name] == value, name


@pytest.mark.renders
def test_a_run_is_shown_as_it_is_and_goes_on_where_it_was(
    tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(
        "wandb.mode=offline", "wandb.tags=[mine]", "wandb.log_checkpoint=true", "save_every_n_steps=4", "latent_dim=2"
    )
    folder = identify(config).directory

    def fails(*_: Any) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(
            UnitMonitor,
            "on_train_batch_end",
            lambda _, trainer, *__: fails() if trainer.global_step == 22 else None,
            raising=False,
        )
        with pytest.raises(ConnectionError):
            training.train(config)
    failed = records(folder)
    [exit_record] = of_type(failed, "exit")
    assert exit_record["exit_code"] == 1
    assert_rows_are_the_curves(folder, failed)

    results = training.train(config)
    found = records(folder)  # one record: the earlier one is set aside, and this holds all that it held
    assert_rows_are_the_curves(folder, found)
    assert len(list((folder / "wandb" / "replaced").iterdir())) == 1
    [run] = of_type(found, "run")
    assert run["run_id"] == identify(config).fingerprint
    assert run["display_name"] == folder.name
    assert (run["run_group"], run["job_type"], run["tags"]) == ("default", "train", ["digits", "linear", "mine"])
    shown = run["config"]["update"]
    shown.pop("_wandb")
    assert shown == json.loads(json.dumps({**checked(config), "run": identify(config).derived()}))
    summary: dict[str, Any] = {}
    for update in of_type(found, "summary"):
        summary |= update.get("update", {})
    for name in ("test/elbo", "test/kl_per_unit", "verdict", "forecast/active_units", "test/log_px"):
        assert summary[name] == results[name]
    assert "settings" not in summary  # they are the config
    images = {
        name.split(".")[0] for row in of_type(found, "history") for name in row["item"] if name.startswith("figures/")
    }
    assert images == {f"figures/{path.stem}" for path in (folder / "figures").glob("*.png")}
    assert any("model-" in json.dumps(record) for record in found if record["type"] == "artifact")
    assert [record.get("exit_code", 0) for record in of_type(found, "exit")] == [0]


def test_rows_that_a_server_has_already_are_not_sent_again(tmp_path: Path) -> None:
    """A run killed after six rows, and continued from the checkpoint after its third line."""
    sent: list[int] = []

    class Run:
        starting_step = 6

        def log(self, values: dict[str, Any], step: int, commit: bool) -> None:
            assert commit
            assert values["a"] == values["trainer/global_step"] == step
            sent.append(step)

    logger = JsonLinesLogger(tmp_path)
    for step in range(3):
        logger.log_metrics({"a": step}, step)
    window = wandb_curves.WandbCurves(Run(), "", pytest.fail)  # type: ignore[arg-type]
    window.replay(tmp_path)
    for step in range(3, 8):
        window.log_metrics({"a": step}, step)
    assert sent == [6, 7]


def test_a_stopped_run_is_marked_as_preempted_and_not_as_finished(
    tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        UnitMonitor,
        "on_train_batch_start",
        lambda _, trainer, *__: os.kill(os.getpid(), signal.SIGTERM) if trainer.global_step == 5 else None,
        raising=False,
    )
    config = tiny("wandb.mode=offline")
    with pytest.raises(Interrupted):
        training.train(config)
    found = records(identify(config).directory)
    assert of_type(found, "exit")[0]["exit_code"] == 143
    assert of_type(found, "preempting")


def test_a_sweep_with_a_failing_run_shows_three_runs_as_they_are(tmp_path: Path) -> None:
    command = [BIN / "vae-train", "-m", "data=digits", "model=linear", "latent_dim=2", "trainer.max_epochs=1"]
    command += ["optimizer.lr=0.001,1e30,0.002", "wandb.mode=offline", f"runs_dir={tmp_path}"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1
    found = {
        folder.parent: records(folder.parent) for folder in tmp_path.rglob("wandb") if folder.parent.name != "wandb"
    }
    runs = {folder: of_type(shown, "run")[0] for folder, shown in found.items()}
    assert len({run["run_id"] for run in runs.values()}) == 3
    assert len({run["run_group"] for run in runs.values()}) == 1
    assert next(iter(runs.values()))["run_group"].startswith("sweep 20")
    for folder, run in runs.items():
        lr = run["config"]["update"]["optimizer"]["lr"]
        assert folder.name.endswith(run["run_id"])
        [exit_record] = of_type(found[folder], "exit")
        assert exit_record.get("exit_code", 0) == (1 if lr == 1e30 else 0)
    assert sorted(run["config"]["update"]["optimizer"]["lr"] for run in runs.values()) == [0.001, 0.002, 1e30]
