"""The Trainer of a run inside SLURM."""

from pathlib import Path

import pytest

from vae_lightning.errors import Code, UserError
from vae_lightning.runs.trainer import make_trainer


def test_a_total_number_of_slurm_tasks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setenv("SLURM_JOB_NAME", "a")
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE", raising=False)
    with pytest.raises(UserError) as refused:
        make_trainer(
            tmp_path,
            [],
            False,
            accelerator="cpu",
            devices=1,
            num_nodes=1,
            strategy="auto",
            precision="32-true",
            max_epochs=1,
            gradient_clip_val=None,
            log_every_n_steps=1,
            deterministic=False,
        )
    assert refused.value.code is Code.INCOMPATIBLE
    assert "SLURM_NTASKS" in refused.value.about
