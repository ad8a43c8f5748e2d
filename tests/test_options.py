"""Every option of every group trains a short run on real MNIST pixels, and the loss falls."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vae_lightning.assemble import build_data, build_model, build_trainer
from vae_lightning.callbacks import UnitMonitor
from vae_lightning.conf_folder import config_folder
from vae_lightning.runs.curve_logger import JsonLinesLogger
from vae_lightning.runs.curves import read_curves
from vae_lightning.training import quieten_lightning

Config = dict[str, Any]
GROUPS = ("model", "likelihood", "prior", "posterior", "objective", "estimator")
GROUPS += ("beta_schedule", "optimizer", "lr_schedule")
FIT_TOGETHER = {
    "model=linear": ["likelihood.mean=identity"],
    "objective=capacity": ["objective.growth=10 epochs"],  # so slow that the KL can follow within these few steps
    "estimator=dreg": ["objective=iwae"],
    "estimator=vimco": ["objective=iwae"],
    "optimizer=aggressive": ["optimizer.max_steps=10", "optimizer.window=5"],
}
CHOICES = [f"{group}={path.stem}" for group in GROUPS for path in sorted((config_folder() / group).glob("*.yaml"))]
CHOICES += ["estimator=score_function estimator.baseline=leave_one_out objective.n_samples=4", "data.binarize=dynamic"]
N_STEPS = 60


@pytest.mark.parametrize("choice", CHOICES)
def test_it_learns(choice: str, configure: Callable[..., Config], tmp_path: Path) -> None:
    quieten_lightning()
    fixed = ["trainer.max_epochs=1", "trainer.log_every_n_steps=10", *FIT_TOGETHER.get(choice, [])]
    config = configure(*choice.split(), *fixed)
    data = build_data(config)
    model = build_model(config, data.image_shape)
    trainer = build_trainer(config, tmp_path, [UnitMonitor()])
    trainer.loggers = [JsonLinesLogger(tmp_path)]
    trainer.limit_train_batches = N_STEPS
    trainer.limit_val_batches = 1
    trainer.fit(model, datamodule=data)
    lines = read_curves(tmp_path)
    losses = [line["train/loss"] for line in lines if "train/loss" in line]
    assert len(losses) == N_STEPS // 10
    assert None not in losses
    assert losses[-1] < losses[0] - 5
    # And what fell is no trick of the objective's own: the reconstruction is better too.
    distortions = [line["train/distortion"] for line in lines if "train/distortion" in line]
    assert distortions[-1] < distortions[0] - 5
    assert None not in lines[-1].values()
