"""Sweeps as people start them: the command, in a process of its own."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Sweep

TRAIN = Path(sys.executable).with_name("vae-train")
TINY = ["data=digits", "model=linear", "latent_dim=2", "wandb.mode=disabled"]
SLOTS = ["hydra.launcher.n_slots=2", "hydra.launcher.threads=1"]


@pytest.fixture
def sweep(tmp_path: Path) -> Callable[..., Sweep]:
    """Make a sweep over tiny runs on two slots; with ``faults`` each job does what its name says."""

    def made(*overrides: str, faults: str = "", runs: str = "runs") -> Sweep:
        folder = tmp_path / "faults"
        folder.mkdir(exist_ok=True)
        chosen = ["beta_schedule._target_=faults.faulty", "beta_schedule._partial_=true"]
        chosen += [f"+beta_schedule.folder={folder}", f"+beta_schedule.fault={faults}"]
        command = [
            str(TRAIN),
            "-m",
            *TINY,
            *SLOTS,
            f"runs_dir={tmp_path / runs}",
            *(chosen if faults else []),
            *overrides,
        ]
        here = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "COLUMNS": "200"}
        return Sweep(command, tmp_path / runs, folder, here)

    return made
