"""Every option of every group trains a short run on real images, and the loss falls; the slow proof takes MNIST."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vae_lightning.assemble import build_data, build_model, build_trainer
from vae_lightning.callbacks import UnitMonitor
from vae_lightning.conf_folder import config_folder
from vae_lightning.config import checked
from vae_lightning.data import BATCHES_AT_ONCE
from vae_lightning.runs.curve_logger import JsonLinesLogger
from vae_lightning.runs.curves import read_curves
from vae_lightning.training import quieten_lightning

Config = dict[str, Any]
GROUPS = ("model", "likelihood", "prior", "posterior", "objective", "estimator")
GROUPS += ("beta_schedule", "optimizer", "lr_schedule")
FIT_TOGETHER = {
    "model=linear": ["likelihood.mean=identity"],
    "model=custom": ["model.encoder._target_=own_parts.PairEncoder", "model.decoder._target_=own_parts.Decoder"],
    "likelihood=poisson": ["data.scale=counts"],  # of 255 grey values: rough, and counts none the less
    "likelihood=negative_binomial": ["data.scale=counts"],
    "likelihood=categorical": ["data.scale=counts", "likelihood.n_classes=256", "model=mlp_small"],
    "objective=capacity": ["objective.growth=10 epochs"],  # so slow that the KL can follow within these few steps
    "estimator=dreg": ["objective=iwae"],
    "estimator=vimco": ["objective=iwae"],
    "optimizer=aggressive": ["optimizer.max_steps=4", "optimizer.window=2"],
}
CHOICES = [f"{group}={path.stem}" for group in GROUPS for path in sorted((config_folder() / group).glob("*.yaml"))]
CHOICES += ["estimator=score_function estimator.baseline=leave_one_out objective.n_samples=4", "data.binarize=dynamic"]


def small(choice: str) -> list[str]:
    """Return the choices that make a run small; what needs images of 28x28 gets the digits enlarged to that."""
    if choice.startswith("model=") or choice == "objective=capacity":
        return ["data=digits"]
    return ["data=digits", "data.source._target_=small_digits.small_digits"]


def full(_: str) -> list[str]:
    return ["data=mnist"]


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize(
    ("images", "n_steps", "window", "margin"),
    [(small, 15, 5, 1), pytest.param(full, 60, 10, 5, marks=pytest.mark.slow)],
)
def test_it_learns(
    images: Callable[[str], list[str]],
    n_steps: int,
    window: int,
    margin: float,
    choice: str,
    configure: Callable[..., Config],
    tmp_path: Path,
) -> None:
    quieten_lightning()
    fixed = ["trainer.max_epochs=1", f"trainer.log_every_n_steps={window}", *FIT_TOGETHER.get(choice, [])]
    config = configure(*images(choice), *choice.split(), *fixed)
    data = build_data(checked(config))
    model = build_model(checked(config), data.image_shape)
    trainer = build_trainer(checked(config), tmp_path, [UnitMonitor()])
    trainer.loggers = [JsonLinesLogger(tmp_path)]
    trainer.limit_train_batches = math.ceil(n_steps / BATCHES_AT_ONCE)
    trainer.limit_val_batches = 1
    trainer.fit(model, datamodule=data)
    lines = read_curves(tmp_path)
    losses = [line["train/loss"] for line in lines if "train/loss" in line]
    assert len(losses) == n_steps // window
    assert None not in losses
    assert losses[-1] < losses[0] - margin
    # And what fell is no trick of the objective's own: the reconstruction is better too.
    distortions = [line["train/distortion"] for line in lines if "train/distortion" in line]
    assert distortions[-1] < distortions[0] - margin
    assert None not in lines[-1].values()
