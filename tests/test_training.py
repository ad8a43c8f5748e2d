"""Whole runs, in process."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vae_lightning import training
from vae_lightning.assemble import build_data, build_model
from vae_lightning.config import checked
from vae_lightning.data.loader import as_floats
from vae_lightning.errors import Code, UserError
from vae_lightning.runs.curves import read_curves
from vae_lightning.runs.identity import identify
from vae_lightning.training import train
from vae_lightning.training_step import TrainingStep

Config = dict[str, Any]


def folder_of(config: Config) -> Path:
    return identify(config).directory


@pytest.mark.renders
def test_a_run_leaves_what_was_promised(tiny: Callable[..., Config], capsys: pytest.CaptureFixture[str]) -> None:
    config = tiny("latent_dim=2", "data.validation_size=500")
    results = train(config)
    folder = folder_of(config)
    assert {path.name for path in folder.iterdir()} == {
        ".lock", "config.yaml", "metrics.jsonl", "results.json", "checkpoints", "figures"
    }  # fmt: skip
    assert {path.stem for path in (folder / "figures").iterdir()} == {
        "curves", "reconstructions", "samples", "latent_scatter", "latent_plane", "manifold", "units"
    }  # fmt: skip
    assert json.loads((folder / "results.json").read_text()) == results
    assert results["test/elbo"] == pytest.approx(-(results["test/distortion"] + results["test/kl"]))
    assert results["test/kl"] == pytest.approx(sum(results["test/kl_per_unit"]))
    assert (results["epochs"], results["steps"]) == (2, 20)
    assert sum(results["manifold/count_per_class"]) == 400
    names = {name for line in read_curves(folder) for name in line}
    assert {"train/elbo", "train/kl", "train/kl_weight", "val/elbo", "val/active_units", "val/kl_per_unit"} <= names
    assert not any(name.startswith("test/") for name in names)  # the test images are looked at once, at the end
    printed = capsys.readouterr().out
    for number in ("0.5", "1,000", "500", "297", f"{results['test/elbo']:.2f}", f"{results['test/kl']:.2f}"):
        assert number in printed


def test_a_finished_run_is_shown_and_not_trained_again(
    finished: Callable[..., Config], tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = folder_of(finished())
    capsys.readouterr()
    monkeypatch.setattr(training, "_train_and_test", lambda *_: pytest.fail("trained again"))
    results = train(tiny("kl_weight=1e0"))
    assert results == json.loads((folder / "results.json").read_text())
    printed = capsys.readouterr().out
    assert folder.name in printed.replace("\n", "")  # a terminal may be too narrow for it
    assert f"{results['test/elbo']:.2f}" in printed


def test_weights_that_only_the_last_step_spoiled_are_not_a_result(tiny: Callable[..., Config]) -> None:
    """Take one step of a huge rate: the loss before it was finite."""
    config = tiny("data.batch_size=1500", "optimizer.lr=1e30", "trainer.max_epochs=1")
    with pytest.raises(UserError) as refused:
        train(config)
    assert refused.value.code == Code.NOT_FINITE
    assert not (folder_of(config) / "results.json").exists()
    assert list((folder_of(config) / "checkpoints").iterdir()) == []


def test_what_cannot_be_built_leaves_no_directory(tiny: Callable[..., Config]) -> None:
    for refused in ("optimizer.lr=-1", "data.validation_size=2000", "trainer.strategy=none", "latent_dim=0"):
        config = tiny(refused)
        with pytest.raises(UserError):
            train(config)
        assert not folder_of(config).exists()


@pytest.mark.slow
def test_one_epoch_on_real_mnist_gains_a_hundred_nats(configure: Callable[..., Config]) -> None:
    """Check too that it beats the best constant image, whose ELBO follows from the pixels' variances, by ten."""
    config = configure("experiment=quick", "trainer.max_epochs=1")
    data = build_data(checked(config))
    untrained, test = build_model(checked(config), data.image_shape), next(iter(data.test_dataloader()))
    with torch.no_grad():
        bound = untrained.bound(test.pixels, torch.zeros(1, 1000, 2), 1.0, TrainingStep(0, 600, 600))
    before = -float((bound.distortion + bound.kl_per_unit.sum(1)).mean())
    images = as_floats(data.splits["test"].pixels).flatten(1)
    best_constant = -(784 / 2 * math.log(math.pi) + float(images.var(0, correction=0).sum()))

    results = train(config)
    assert results["steps"] == 600
    assert results["test/active_units"] == 2
    assert results["test/elbo"] > before + 100
    assert results["test/elbo"] > best_constant + 10


@pytest.mark.slow
def test_a_huge_kl_weight_collapses_every_unit(configure: Callable[..., Config]) -> None:
    """Take kl_weight x sigma^2 = 50, which is above every covariance eigenvalue of MNIST (the largest is 5.1)."""
    results = train(configure("data=mnist", "kl_weight=100", "latent_dim=5", "trainer.max_epochs=1"))
    assert results["test/active_units"] == 0
    assert results["test/kl"] < 0.01
    assert results["kl_weight_times_variance"] == 50


def test_one_latent_unit_is_enough(tiny: Callable[..., Config]) -> None:
    results = train(tiny("latent_dim=1"))
    assert len(results["test/kl_per_unit"]) == len(results["test/variance_of_mean_per_unit"]) == 1
    assert results["forecast/active_units"] <= 1


@pytest.mark.parametrize("optimizer", ["adam", "separate"])
def test_gradients_are_clipped_in_mixed_precision_too(optimizer: str, tiny: Callable[..., Config]) -> None:
    results = train(tiny("trainer.precision=bf16-mixed", "trainer.gradient_clip_val=1", f"optimizer={optimizer}"))
    assert results["steps"] == 30


def test_results_say_which_kl_weight_was_in_force_at_the_end(tiny: Callable[..., Config]) -> None:
    rising = train(tiny("kl_weight=3", "beta_schedule=linear", "beta_schedule.length=4 epochs"))
    assert rising["kl_weight_at_the_end"] == pytest.approx(3 * 29 / 60)  # two epochs of fifteen steps
    assert rising["kl_weight_times_variance"] == pytest.approx(0.5 * rising["kl_weight_at_the_end"])
    held = train(tiny("beta_schedule=geco"))
    assert held["kl_weight_times_variance"] is None
    assert held["kl_weight_at_the_end"] != 1


def test_held_out_numbers_of_running_statistics_are_right_from_the_first_epoch(tiny: Callable[..., Config]) -> None:
    """Take 15 steps an epoch. The KL of held-out images keeps the floor, and sigma^2 is their own error's size."""
    normalised = train(tiny("posterior=batch_norm", "trainer.max_epochs=1"))
    assert normalised["test/kl"] > 0.9 * 3 * 0.7**2 / 2
    optimal = train(tiny("likelihood=gaussian_optimal"))
    variance = optimal["decoder_variance"]
    error = (optimal["test/distortion"] - 32 * math.log(2 * math.pi * variance)) * 2 * variance / 64
    assert variance == pytest.approx(error, rel=0.3)


def test_aggressive_inference_can_be_watched(tiny: Callable[..., Config]) -> None:
    config = tiny("optimizer=aggressive", "optimizer.max_steps=5", "optimizer.decoder.lr=0.01")
    train(config)
    last = last_training_line(config)
    assert last["train/extra_encoder_steps"] >= 5
    assert last["train/decoder_learning_rate"] == pytest.approx(0.01)
    assert last["train/learning_rate"] == pytest.approx(0.001)
    assert any("train/information" in line for line in read_curves(folder_of(config)))


def last_training_line(config: Config) -> dict[str, Any]:
    return [line for line in read_curves(folder_of(config)) if "train/kl" in line][-1]


@pytest.mark.slow
def test_control_vae_holds_its_kl_target_on_real_mnist(configure: Callable[..., Config]) -> None:
    config = configure("beta_schedule=control_vae", "kl_weight=50", "trainer.max_epochs=2")
    results = train(config)
    last = last_training_line(config)
    assert last["train/kl"] == pytest.approx(5, rel=0.05)
    assert results["test/kl"] == pytest.approx(5, rel=0.1)
    assert 0 < last["train/kl_weight"] < 50


@pytest.mark.slow
def test_geco_reaches_its_distortion_target_on_real_mnist(configure: Callable[..., Config]) -> None:
    config = configure("beta_schedule=geco", "trainer.max_epochs=4")
    train(config)
    last = last_training_line(config)
    assert last["train/distortion"] == pytest.approx(470, abs=1)
    assert 0.01 < last["train/kl_weight"] < 100


@pytest.mark.slow
def test_active_units_of_real_mnist_fall_from_all_to_none_across_the_onset(configure: Callable[..., Config]) -> None:
    """Prove the onset: the largest covariance eigenvalue of MNIST is 5.1, so at variance 1/2 all die above 10.2."""
    weights = (0.01, 0.1, 2.0, 5.0, 20.0, 100.0)
    configs = [configure("experiment=kl_weight", f"kl_weight={weight}") for weight in weights]
    n_units = configs[0]["latent_dim"]
    found = [train(config) for config in configs]
    active = [results["test/active_units"] for results in found]
    kl = [results["test/kl"] for results in found]
    assert active[:2] == [n_units, n_units]
    assert n_units > active[2] > active[3] > 0
    assert active[4:] == [0, 0]
    assert kl == sorted(kl, reverse=True)


def test_what_is_measured_at_the_end_is_a_choice_that_changes_no_run(tiny: Callable[..., Config]) -> None:
    plain = tiny()
    asked = tiny("evaluation.thorough=true", "evaluation.importance_samples=20")
    assert checked(plain).fingerprint == checked(asked).fingerprint
    found = train(asked)
    assert found.log_px_samples == 20
    low, high = found["test/mutual_information"]
    assert 0 <= low <= high
    with pytest.raises(UserError) as fault:
        checked(tiny("evaluation.importance_samples=0"))
    assert fault.value.about == ("evaluation.importance_samples",)


def test_the_results_say_on_what_machine_the_seconds_were(finished: Callable[..., Config]) -> None:
    found = train(finished())
    assert f"of {os.cpu_count()} cores" in found["machine"]
