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
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import wandb

from vae_lightning.config import checked
from vae_lightning.errors import Code, UserError
from vae_lightning.runs import wandb_curves, wandb_probe, wandb_session
from vae_lightning.runs.run_config import Mode

Config = dict[str, Any]
BIN = Path(sys.executable).parent
NO_ANSWER = "http://127.0.0.1:9"
pytestmark = pytest.mark.usefixtures("no_account")


class Opened(NamedTuple):
    """What came of opening the window of a run."""

    there: bool
    told: list[str]
    offline_records: list[Path]


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
    assert "wandb login" in (wandb_probe.why_offline() or "")


def test_with_an_account_the_server_is_asked(monkeypatch: pytest.MonkeyPatch, answering: str, blackhole: str) -> None:
    monkeypatch.setattr(wandb_probe, "PROBE_TIMEOUT_S", 0.5)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", answering)
    assert wandb_probe.why_offline() is None
    for silent in (blackhole, NO_ANSWER):
        monkeypatch.setenv("WANDB_BASE_URL", silent)
        assert silent in (wandb_probe.why_offline() or "")


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


@pytest.fixture
def opened(tiny: Callable[..., Config]) -> Callable[..., Opened]:
    """Open the window of a run, without any training, and close it."""

    def open_and_close(mode: Mode) -> Opened:
        config = checked(tiny("wandb.mode=auto"))
        config = config.changed(wandb=config.wandb.model_copy(update={"mode": mode}))
        config.directory.mkdir(parents=True, exist_ok=True)
        told: list[str] = []
        with wandb_session.wandb_session(config, continues=False, tell=told.append) as window:
            there = window is not None
        return Opened(there, told, list((config.directory / "wandb").glob("offline-run-*")))

    return open_and_close


def test_a_server_that_refuses_the_run_is_replaced_by_offline(
    opened: Callable[..., Opened], monkeypatch: pytest.MonkeyPatch, answering: str
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", answering)
    monkeypatch.setattr(wandb_session, "START_TIMEOUT_S", 1.0)
    found = opened("auto")
    assert found.there
    assert len(found.offline_records) == 1


def test_online_means_online(opened: Callable[..., Opened], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(**_: Any) -> None:
        raise ConnectionError("no")

    monkeypatch.setattr(wandb, "init", refuses)
    with pytest.raises(UserError) as refused:
        opened("online")
    assert (refused.value.code, refused.value.about) == (Code.UNAVAILABLE, ("wandb.mode",))


@pytest.mark.parametrize(("name", "value"), [("WANDB_BASE_URL", "api.wandb.ai"), ("WANDB_MODE", "foo")])
def test_what_wandb_cannot_read_does_not_fail_a_run(
    name: str, value: str, opened: Callable[..., Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    found = opened("auto")
    assert not found.there
    assert len(found.told) == 1


def test_a_silent_server_delays_beginning_and_end_by_ten_seconds_at_most(
    opened: Callable[..., Opened], blackhole: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The promise is the sum of what each step may take; that the steps keep to it is tested beside and below."""
    assert wandb_probe.PROBE_TIMEOUT_S + wandb_session.START_TIMEOUT_S + wandb_curves.GIVE_UP_TIMEOUT_S <= 10
    assert wandb_session.FINISH_TIMEOUT_S + wandb_curves.GIVE_UP_TIMEOUT_S <= 10
    handed: list[wandb.Settings] = []
    init = wandb.init

    def recorded(**arguments: Any) -> wandb.Run:
        handed.append(arguments["settings"])
        return init(**arguments)

    monkeypatch.setattr(wandb, "init", recorded)
    monkeypatch.setattr(wandb_probe, "PROBE_TIMEOUT_S", 0.1)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", blackhole)
    assert len(opened("auto").offline_records) == 1
    [settings] = handed
    assert settings.init_timeout == wandb_session.START_TIMEOUT_S
    assert settings.finish_timeout == wandb_session.FINISH_TIMEOUT_S
    assert settings.finish_timeout_raises


def test_a_service_that_hangs_is_left_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the question whether the server is there nor the end of the service is waited for."""
    for_ever = threading.Event()
    monkeypatch.setattr("requests.head", lambda *_, **__: for_ever.wait())
    monkeypatch.setattr(wandb, "teardown", for_ever.wait)
    monkeypatch.setattr(wandb_probe, "PROBE_TIMEOUT_S", 0.01)
    monkeypatch.setattr(wandb_curves, "GIVE_UP_TIMEOUT_S", 0.01)
    assert not wandb_probe.answers("http://example.invalid")
    wandb_curves.give_up()
    assert not for_ever.is_set()
    for_ever.set()


def test_an_end_that_fails_is_told_once_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Run:
        starting_step = 0
        settings = SimpleNamespace(sync_dir="a folder")

        def log(self, *_: Any, **__: Any) -> None:
            raise ConnectionError("silent")

        def finish(self, exit_code: int) -> None:
            raise TimeoutError("still silent")

    given_up: list[bool] = []
    told: list[str] = []
    monkeypatch.setattr(wandb_curves, "give_up", lambda: given_up.append(True))
    window = wandb_curves.WandbCurves(Run(), "", told.append)  # type: ignore[arg-type]
    for step in range(3):
        window.log_metrics({"a": step}, step)
    window.finish(0, stopped=False)
    assert len(told) == 1
    assert "wandb sync 'a folder'" in told[0]
    assert given_up == [True]


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


@pytest.mark.slow
def test_a_server_that_falls_silent_costs_a_run_nothing_but_its_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    TakesRuns.silent = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), TakesRuns)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    command = [BIN / "vae-train", "data=digits", "model=linear", "trainer.max_epochs=3", "wandb.mode=auto"]
    with subprocess.Popen(
        [*command, f"runs_dir={tmp_path}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("epoch   1/3"):
                TakesRuns.silent.set()
            if line.startswith("epoch   3/3"):
                break
        rest = process.communicate()[0]
    server.shutdown()
    server.server_close()
    assert process.returncode == 0
    assert len(list(tmp_path.rglob("results.json"))) == 1
    assert rest.count("wandb sync ") == 1
    assert "Traceback" not in rest


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
    there: str, opened: Callable[..., Opened], monkeypatch: pytest.MonkeyPatch
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
        found = opened("auto")
        server.shutdown()
    assert asked == []
    assert (found.there, len(found.offline_records)) == ((True, 1) if there == "offline" else (False, 0))


def test_names_longer_than_a_tag_are_shortened(
    opened: Callable[..., Opened], tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    handed: list[list[str]] = []
    monkeypatch.setattr(wandb, "init", lambda **arguments: handed.append(arguments["tags"]))
    config = checked(tiny(f"data.name={'x' * 70}", "wandb.tags=[mine]"))
    wandb_session._start(config.wandb, config, continues=False, online=False)
    assert handed == [["x" * 64, "linear", "mine"]]
