"""The pages about a user's own data and networks are done as they stand there: files written, commands run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from vae_lightning.cli.forecast import configs_of
from vae_lightning.composing import composed
from vae_lightning.forecasting import forecast_configs
from vae_lightning.training import train

DOCS = Path(__file__).parents[2] / "docs"
LEAST_COMMANDS = {"your-data.md": 9, "your-networks.md": 2}


@pytest.mark.parametrize("page", LEAST_COMMANDS)
def test_a_page_does_what_it_says(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    text = (DOCS / page).read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    done = 0
    for kind, block in re.findall(r"^```(python|bash)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if kind == "python":
            name = block.split()[1]
            Path(name).write_text(block)
            if name.startswith("make_"):
                subprocess.run([sys.executable, name], check=True)
            continue
        for line in block.splitlines():
            command, *overrides = shlex.split(line)
            if command == "vae-forecast":
                forecast_configs(configs_of(overrides), None, Console(quiet=True))
            else:
                assert command == "vae-train"
                results = train(composed([*overrides, "smoke=true", "wandb.mode=disabled"]))
                assert results["epochs"] == 1
                assert results["test/elbo"] < 0
            done += 1
    assert done >= LEAST_COMMANDS[page]
