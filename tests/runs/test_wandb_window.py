"""No account, or a server that never answers: offline at once."""

import socket
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import WandbLogger

from vae_lightning.errors import UserError
from vae_lightning.runs import wandb_window
from vae_lightning.runs.identity import RunIdentity
from vae_lightning.runs.wandb_window import WandbSettings


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))


def test_without_an_account_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("asked"))
    assert not wandb_window.server_answers()


def test_with_an_account_the_server_is_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert wandb_window.server_answers()
    assert not wandb_window.server_answers()


def test_an_account_in_netrc_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password " + "0" * 40)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert wandb_window.server_answers()


def test_a_server_that_fails_at_the_start_is_replaced_by_offline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import wandb

    asked: list[str] = []

    class Window(WandbLogger):
        def __init__(self, experiment: object) -> None:
            pass

    def init(**options: Any) -> Any:
        asked.append(options["mode"])
        if options["mode"] == "online":
            raise wandb.errors.CommError("401")
        return None

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setattr("lightning.pytorch.loggers.WandbLogger", Window)
    monkeypatch.setattr(wandb_window, "server_answers", lambda: True)
    identity = RunIdentity(tmp_path, "0123abcd", "a run")
    config = {"study": {"name": "s"}}
    auto, online = (WandbSettings(mode=mode, project="p", entity=None) for mode in ("auto", "online"))
    assert wandb_window.wandb_logger(auto, identity, config) is not None
    assert asked == ["online", "offline"]
    with pytest.raises(UserError, match=r"wandb.mode=online: 401"):
        wandb_window.wandb_logger(online, identity, config)
