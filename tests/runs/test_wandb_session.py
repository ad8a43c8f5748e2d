"""W&B shows neither more nor less than the local curves."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults_in_training import AfterStep, cut_power, train_with

from vae_lightning import training
from vae_lightning.config import checked
from vae_lightning.errors import Interrupted
from vae_lightning.runs import wandb_curves
from vae_lightning.runs.curve_logger import JsonLinesLogger
from vae_lightning.runs.curves import read_curves
from vae_lightning.runs.identity import identify

Config = dict[str, Any]
BIN = Path(sys.executable).parent
pytestmark = pytest.mark.usefixtures("no_account")


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
def test_a_run_is_shown_as_it_is_and_goes_on_where_it_was(tiny: Callable[..., Config]) -> None:
    config = tiny(
        "wandb.mode=offline", "wandb.tags=[mine]", "wandb.log_checkpoint=true", "save_every_n_steps=4", "latent_dim=2"
    )
    folder = identify(config).directory

    cut_power(22, config)
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
    assert shown == json.loads(json.dumps(checked(config).plain()))
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


def test_a_stopped_run_is_marked_as_preempted_and_not_as_finished(tiny: Callable[..., Config]) -> None:
    config = tiny("wandb.mode=offline")
    with pytest.raises(Interrupted):
        train_with(AfterStep(5, lambda: os.kill(os.getpid(), signal.SIGTERM)), config)
    found = records(identify(config).directory)
    assert of_type(found, "exit")[0]["exit_code"] == 143
    assert of_type(found, "preempting")


@pytest.mark.slow
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
