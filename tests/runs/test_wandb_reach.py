"""Whether W&B can be reached: it is asked, and however it answers or does not, a run is not held up by it."""

import json
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
from vae_lightning.config import checked
from vae_lightning.errors import UserError
from vae_lightning.runs import wandb_probe, wandb_session
from vae_lightning.runs.identity import identify
from vae_lightning.runs.wandb_settings import Mode

Config = dict[str, Any]
BIN = Path(sys.executable).parent
NO_ANSWER = "http://127.0.0.1:9"
pytestmark = pytest.mark.usefixtures("no_account")


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
    monkeypatch.setattr(wandb_session, "START_TIMEOUT_S", 1.0)
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


@pytest.mark.parametrize(
    ("there", "chosen", "in_force"),
    [
        ("disabled", "auto", "disabled"),
        ("offline", "auto", "offline"),
        ("dryrun", "auto", "offline"),
        ("online", "auto", "online"),
        ("", "auto", "auto"),
        ("of", "auto", "auto"),
        ("disabled", "online", "online"),
        ("online", "disabled", "disabled"),
    ],
)
def test_under_auto_the_environment_decides(
    there: str, chosen: Mode, in_force: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", there)
    assert wandb_session.mode_in_force(chosen) == in_force


@pytest.mark.parametrize("there", ["disabled", "offline"])
def test_nothing_is_sent_where_the_environment_forbids_it(
    there: str, tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is an account, and a server that would take everything."""
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def handle(self) -> None:
            asked.append("asked")
            super().handle()

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("WANDB_MODE", there)
        config = tiny("wandb.mode=auto", "trainer.max_epochs=1")
        training.train(config)
        server.shutdown()
    assert asked == []
    folder = identify(checked(config)).directory / "wandb"
    assert len(list(folder.glob("offline-run-*"))) == (there == "offline")
