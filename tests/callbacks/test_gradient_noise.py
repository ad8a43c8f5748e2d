"""The variance of a gradient, against what can be computed by hand; the callback changes nothing in a training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vae_lightning.config import checked
from vae_lightning.diagnostics import gradient_moments
from vae_lightning.runs.curves import read_curves
from vae_lightning.training import train

Config = dict[str, Any]
NOISE = "callbacks=[{_target_: vae_lightning.callbacks.GradientNoise, n_draws: 8, n_images: 20}]"


def test_moments_are_unbiased() -> None:
    torch.manual_seed(0)
    mean, deviation, n_draws = torch.linspace(-1, 1, 50), 0.5, 4
    found = [gradient_moments(mean + deviation * torch.randn(n_draws, 50)) for _ in range(2000)]
    variance, signal = (torch.tensor([each[index] for each in found]) for index in (0, 1))
    for values, truth in ((variance, 50 * deviation**2), (signal, float(mean.square().sum()))):
        assert abs(float(values.mean()) - truth) < 4 * float(values.std()) / 2000**0.5


def test_one_draw_has_no_variance() -> None:
    with pytest.raises(ValueError, match="two"):
        gradient_moments([torch.ones(3)])


def curves(folder: Path, name: str) -> list[float]:
    return [line[name] for line in read_curves(folder) if name in line]


def test_it_logs_once_before_and_after_each_epoch_and_changes_nothing(tiny: Callable[..., Config]) -> None:
    # Batch normalisation has running statistics, which a measurement must not move.
    plain, watched = tiny("posterior=batch_norm"), tiny("posterior=batch_norm", NOISE)
    without, found = train(plain), train(watched)
    assert found.elbo == without.elbo
    folder = checked(watched).directory
    variances = curves(folder, "train/gradient_variance")
    assert len(variances) == len(curves(folder, "train/gradient_signal")) == 1 + found.epochs
    assert min(variances) > 0


def test_the_baseline_quietens_the_score_function_and_paths_more(tiny: Callable[..., Config]) -> None:
    found = {}
    for estimator in ("score_function", "score_function estimator.baseline=leave_one_out", "pathwise"):
        config = tiny(*f"estimator={estimator}".split(), "objective.n_samples=4", NOISE)
        train(config)
        found[estimator] = curves(checked(config).directory, "train/gradient_variance")[0]
    none, baseline, path = found.values()
    assert none > 3 * baseline > 3 * path
