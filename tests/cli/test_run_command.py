"""What all commands share: the version, the list, streams that end early, errors that name the key."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.errors import HydraException

from vae_lightning import __main__, __version__
from vae_lightning.cli.run_command import explain, run_command
from vae_lightning.composing import composed

CLOSED_PIPE = """
import sys
from pathlib import Path
from vae_lightning.cli.run_command import run_command

def work():
    from rich.console import Console
    for line in range(1000):
        Console().print(line, "of many lines")
        print("and one for the error stream", file=sys.stderr)
    Path("done").touch()

run_command(work)
"""


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Call ``python -m vae_lightning`` in this process and return what it printed."""

    def call(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["vae_lightning", *arguments])
        monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
        __main__.main()
        return capsys.readouterr().out

    return call


@pytest.mark.parametrize("command", __main__.COMMANDS)
def test_every_command_tells_our_version(command: str, called: Callable[..., str]) -> None:
    assert called(command, "--version").split() == [f"vae-{command}", __version__]


def test_the_package_tells_its_version(called: Callable[..., str]) -> None:
    assert called("--version").split() == ["vae-lightning", __version__]


@pytest.mark.parametrize(("arguments", "exit_code"), [([], 0), (["--help"], 0), (["trian"], 2)])
def test_the_commands_are_listed(
    arguments: list[str],
    exit_code: int,
    called: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stopped:
        called(*arguments)
    assert stopped.value.code == exit_code
    shown = capsys.readouterr()
    text = shown.err if exit_code else shown.out
    assert [line.split()[0] for line in text.splitlines() if line.startswith("  ")] == list(__main__.COMMANDS)


def test_further_processes_start_as_the_command_itself(
    called: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning starts the other ranks by the name of the main module."""
    called("train", "--version")
    assert sys.modules["__main__"].__spec__.name == "vae_lightning.cli.train"
    assert sys.argv == ["vae-train", "--version"]


@pytest.mark.parametrize("also_errors", [False, True])
def test_a_reader_that_leaves_ends_nothing(also_errors: bool, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", CLOSED_PIPE],
        stdout=writer,
        stderr=writer if also_errors else subprocess.DEVNULL,
        cwd=tmp_path,
    ) as process:
        os.close(writer)
        os.read(reader, 1)
        os.close(reader)
    assert process.returncode == 0
    assert (tmp_path / "done").exists()


def test_fonts_are_not_news() -> None:
    run_command(lambda: None)
    assert not logging.getLogger("matplotlib.font_manager").isEnabledFor(logging.INFO)


@pytest.mark.parametrize(
    ("override", "key", "valid"),
    [
        ("model={name:mine,encoder:{_target_:my.Encoder,size:3}}", "model.encoder.size", "hidden_sizes"),
        ("model={nam:mine}", "model.nam", "name"),
        ("model.encoder.size=3", "model.encoder.size", "hidden_sizes"),
        ("modle=3", "modle", "model"),
    ],
)
def test_an_unknown_key_is_named_also_inside_a_node(
    override: str, key: str, valid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["vae-train", override])
    with pytest.raises(HydraException) as refused:
        composed([override])
    named, _, hint = explain(refused.value).partition(":")
    assert named == key
    assert valid in hint
