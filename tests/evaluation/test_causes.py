"""What is wrong with data or model is named, and no word about units hides it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation.linear_models import evaluation_of

from vae_lightning.assemble import build_data, build_model
from vae_lightning.config import checked

Configure = Callable[..., dict[str, Any]]


def judged(configure: Configure, rows: np.ndarray, path: Path, *overrides: str) -> Any:
    np.save(path, rows.astype(np.float32).reshape(len(rows), 1, 1, -1))
    config = checked(configure("data=array", f"data.path={path}", "model=mlp", "latent_dim=2", *overrides))
    data = build_data(config)
    return evaluation_of(build_model(config, data.image_shape), data, 1.0)


def pixels(n: int = 400) -> np.ndarray:
    generator = np.random.default_rng(0)
    factor = generator.standard_normal((n, 1))
    return np.clip(120 + 60 * factor + 30 * generator.standard_normal((n, 12)), 0, 255).round()


def test_pixels_that_nobody_divided_are_named_and_the_verdict_waits(configure: Configure, tmp_path: Path) -> None:
    found = judged(configure, pixels(), tmp_path / "x.npy", "data.scale=real", "likelihood.mean=identity")
    assert found.results["verdict"] == "undecided"
    cause = found.evaluated.wrong_cause
    assert cause is not None
    assert cause in found.results["verdict/sentence"]


def test_the_same_pixels_divided_have_no_such_cause(configure: Configure, tmp_path: Path) -> None:
    found = judged(configure, pixels() / 255, tmp_path / "x.npy", "likelihood.mean=identity")
    assert found.evaluated.wrong_cause is None
    assert found.results["verdict"] != "undecided"


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_means_that_cannot_leave_the_unit_interval_are_named(
    likelihood: str, configure: Configure, tmp_path: Path
) -> None:
    """A run refuses them before it starts; a model that comes from elsewhere has been trained already."""
    rows = 3 * np.random.default_rng(1).standard_normal((400, 6))
    found = judged(configure, rows, tmp_path / "x.npy", f"likelihood={likelihood}")
    assert "[0, 1]" in found.evaluated.wrong_cause
    assert found.results["verdict"] == "undecided"


def test_counts_that_are_none_are_named(configure: Configure, tmp_path: Path) -> None:
    rows = np.random.default_rng(2).gamma(2.0, size=(400, 6))
    found = judged(configure, rows, tmp_path / "x.npy", "likelihood=poisson")
    assert "whole" in found.evaluated.wrong_cause
