"""The LightningModule: what it logs, when it stops, and that batches and ranks change nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer

from vae_lightning.assemble import build_data, build_model, build_trainer
from vae_lightning.callbacks import Interruption, Saving
from vae_lightning.config import checked
from vae_lightning.data import ImageDataModule
from vae_lightning.errors import Code, UserError
from vae_lightning.module import VAE
from vae_lightning.optimizers import optimizer_of
from vae_lightning.randomness import Stream, generator_for
from vae_lightning.runs.curve_logger import JsonLinesLogger
from vae_lightning.runs.curves import read_curves
from vae_lightning.training import quieten_lightning
from vae_lightning.training_step import TrainingStep

Config = dict[str, Any]


def fitted(config: Config, folder: Path, model: VAE | None = None) -> tuple[VAE, ImageDataModule]:
    quieten_lightning()
    folder.mkdir(parents=True, exist_ok=True)
    data = build_data(checked(config))
    model = model or build_model(checked(config), data.image_shape)
    interruption = Interruption()
    saving = Saving(folder, config["save_every_n_steps"], interruption)
    trainer = build_trainer(checked(config), folder, [interruption, saving])
    trainer.loggers = [JsonLinesLogger(folder)]
    trainer.fit(model, datamodule=data)
    return model, data


def test_the_logged_means_are_what_a_plain_loop_computes(tiny: Callable[..., Config], tmp_path: Path) -> None:
    """Five steps of one window, recomputed without Lightning from the same seeds."""
    config = tiny("kl_weight=0.3", "trainer.max_epochs=1", "beta_schedule=linear", "beta_schedule.length=1.0")
    fitted(config, tmp_path)

    data = build_data(checked(config))
    model = build_model(checked(config), data.image_shape)
    optimizer = optimizer_of(model.optimizer, model.parameter_groups())
    rows = []
    for step, batch in zip(range(5), data.train_dataloader().batches(), strict=False):
        noise = torch.randn(1, 100, 3, generator=generator_for(0, Stream.TRAINING_NOISE, step))
        bound = model.bound(batch.pixels, noise, 0.3 * step / 15, TrainingStep(step, 15, 15))
        optimizer.zero_grad()
        bound.loss.backward()
        optimizer.step()
        rows.append([bound.loss.item(), bound.distortion.mean().item(), bound.kl_per_unit.sum(1).mean().item()])
    loss, distortion, kl = torch.tensor(rows, dtype=torch.float64).mean(0).tolist()

    line = next(line for line in read_curves(tmp_path) if "train/loss" in line)
    assert line["step"] == 4
    assert line["train/loss"] == pytest.approx(loss, rel=1e-6)
    assert line["train/distortion"] == pytest.approx(distortion, rel=1e-6)
    assert line["train/kl"] == pytest.approx(kl, rel=1e-5)
    assert line["train/elbo"] == pytest.approx(-(distortion + kl), rel=1e-6)
    assert line["train/kl_weight"] == pytest.approx(0.3 * 4 / 15)


def test_steps_left_over_at_the_end_of_an_epoch_are_logged_too(tiny: Callable[..., Config], tmp_path: Path) -> None:
    fitted(tiny("trainer.log_every_n_steps=10"), tmp_path)
    steps = [line["step"] for line in read_curves(tmp_path) if "train/loss" in line]
    assert steps == [9, 14, 19, 29]


def test_evaluation_does_not_depend_on_the_batch_size(tiny: Callable[..., Config], tmp_path: Path) -> None:
    found = []
    for size in (1, 10, 297):
        config = tiny("trainer.max_epochs=1", f"data.evaluation_batch_size={size}")
        model, _ = fitted(config, tmp_path / str(size))
        assert model.evaluation is not None
        found.append(model.evaluation)
    for other in found[1:]:
        torch.testing.assert_close(other.terms.distortion, found[0].terms.distortion, rtol=1e-6, atol=0)
        torch.testing.assert_close(other.terms.kl_per_unit, found[0].terms.kl_per_unit, rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(other.means.variance, found[0].means.variance, rtol=1e-5, atol=1e-9)


def test_evaluation_equals_the_bound_over_the_whole_split(tiny: Callable[..., Config], tmp_path: Path) -> None:
    model, data = fitted(tiny("trainer.max_epochs=1"), tmp_path)
    batch = next(iter(data.test_dataloader()))
    noise = torch.randn(1, 297, 3, generator=generator_for(0, Stream.EVALUATION_NOISE))
    with torch.no_grad():
        posterior = model.encode(batch.pixels)
        bound = model.bound(batch.pixels, noise, 1.0, TrainingStep(0, 1, 1))
    assert model.evaluation is not None
    assert model.evaluation.scalars()["elbo"] == pytest.approx(
        -float((bound.distortion + bound.kl_per_unit.sum(1)).double().mean()), rel=1e-6
    )
    torch.testing.assert_close(
        model.evaluation.means.variance, posterior.mean.double().var(0, correction=0), rtol=1e-5, atol=1e-9
    )


@pytest.mark.parametrize(
    "seen",
    ["trainer.log_every_n_steps=5", "trainer.log_every_n_steps=50", "save_every_n_steps=4"],
    ids=["in the curves", "at the end of an epoch", "before it is saved"],
)
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(
    seen: str, tiny: Callable[..., Config], tmp_path: Path
) -> None:
    config = tiny("trainer.max_epochs=3", "trainer.log_every_n_steps=50", seen)
    data = build_data(checked(config))
    model = build_model(checked(config), data.image_shape)
    sound = model.objective

    def explodes_at_step_17(*arguments: Any) -> Any:
        bound = sound(*arguments)
        if model.global_step == 17 and model.training:
            return bound._replace(loss=bound.loss * float("nan"), kl_per_unit=bound.kl_per_unit * float("inf"))
        return bound

    explodes_at_step_17.n_samples, explodes_at_step_17.estimator = 1, None  # type: ignore[attr-defined]
    model.objective = explodes_at_step_17
    with pytest.raises(UserError) as stopped:
        fitted(config, tmp_path, model)
    assert (stopped.value.code, stopped.value.about) == (Code.NOT_FINITE, ("optimizer", "likelihood", "kl_weight"))
    assert {"17,", "nan", "inf,"} <= set(str(stopped.value).split())  # the step, its loss, its largest terms
    checkpoints = sorted((tmp_path / "checkpoints").glob("*.ckpt"))
    assert checkpoints[-1].name == ("step000000016.ckpt" if "save" in seen else "step000000015.ckpt")
    state = torch.load(checkpoints[-1], weights_only=True)["state_dict"]
    assert all(tensor.isfinite().all() for tensor in state.values())


def test_a_loss_that_is_infinite_before_any_step_is_not_put_down_to_the_learning_rate(
    configure: Callable[..., Config], tmp_path: Path
) -> None:
    """The first posteriors of a linear encoder on pixels of a thousand are wider than any number of 32 bits."""
    own = ["data=linear_gaussian", "data.source.spectrum=[1e6,1e5,1e4]", "likelihood.mean=identity"]
    few = ["model=linear", "latent_dim=3", "trainer.max_epochs=1", "trainer.log_every_n_steps=1"]
    with pytest.raises(UserError) as stopped:
        fitted(configure(*own, *few), tmp_path)
    assert (stopped.value.code, stopped.value.about) == (Code.NOT_FINITE, ("data", "likelihood"))


def test_a_trainer_can_validate_without_fitting(tiny: Callable[..., Config], tmp_path: Path) -> None:
    quieten_lightning()
    config = tiny()
    data = build_data(checked(config))
    model = build_model(checked(config), data.image_shape)
    build_trainer(checked(config), tmp_path, []).validate(model, datamodule=data, verbose=False)
    assert model.evaluation is not None


class Counts(Callback):
    """Notes the step after each, and what the next gradient's norm is when it is used."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.norms: list[float] = []

    def on_step_end(self, trainer: Trainer, vae: VAE) -> None:
        self.steps.append(trainer.global_step)
        gradients = [parameter.grad for parameter in vae.parameters() if parameter.grad is not None]
        self.norms.append(float(torch.cat([gradient.flatten() for gradient in gradients]).norm()))


def counted(config: Config, folder: Path, *callbacks: Callback) -> Counts:
    quieten_lightning()
    data, counts = build_data(checked(config)), Counts()
    trainer = build_trainer(checked(config), folder, [*callbacks, counts])
    trainer.fit(build_model(checked(config), data.image_shape), datamodule=data)
    return counts


def test_a_callback_is_told_after_each_step_and_gradients_are_clipped(
    tiny: Callable[..., Config], tmp_path: Path
) -> None:
    free = counted(tiny(), tmp_path)
    assert free.steps == list(range(1, 31))
    assert max(free.norms) > 2
    clipped = counted(tiny("trainer.gradient_clip_val=0.5"), tmp_path)
    assert max(clipped.norms) <= 0.5 + 1e-5
    assert clipped.norms[0] == pytest.approx(0.5)


def test_a_callback_that_hears_of_the_way_back_does(tiny: Callable[..., Config], tmp_path: Path) -> None:
    class Hears(Callback):
        times = 0

        def on_after_backward(self, trainer: Trainer, pl_module: Any) -> None:
            self.times += 1

    hears = Hears()
    assert counted(tiny(), tmp_path, hears).norms == counted(tiny(), tmp_path).norms
    assert hears.times == 30
