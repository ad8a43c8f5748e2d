"""Every YAML file is composed, checked and instantiated; everything wrong is refused by its full name."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vae_lightning.assemble import build_data, build_model, build_trainer
from vae_lightning.composing import config_folder
from vae_lightning.config import checked
from vae_lightning.data import Batch
from vae_lightning.data.catalogue import FASHION_MNIST, IdxDataset
from vae_lightning.data.idx import encode_idx
from vae_lightning.distributions import BernoulliLikelihood
from vae_lightning.errors import UserError
from vae_lightning.optimizers import optimizer_of
from vae_lightning.training_step import TrainingStep

Config = dict[str, Any]
OPTIONS = sorted(path.relative_to(config_folder()).with_suffix("") for path in config_folder().glob("*/*.yaml"))
FIT_TOGETHER = {
    "data=linear_gaussian": ["model=linear", "likelihood.mean=identity"],
    "estimator=dreg": ["objective=iwae"],
    "estimator=vimco": ["objective=iwae"],
}


def few_images(dataset: IdxDataset, data_dir: Path) -> dict[str, bytes]:
    assert dataset is FASHION_MNIST
    images, labels = np.zeros((200, 28, 28), np.uint8), np.zeros(200, np.uint8)
    return {name: encode_idx(images if "images" in name else labels) for name in dataset.sha256}


@pytest.mark.parametrize("option", OPTIONS, ids=str)
def test_every_yaml_file_builds_a_model_that_takes_a_step(
    option: Path, configure: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = f"{option.parent}={option.name}"
    config = configure(choice, *FIT_TOGETHER.get(choice, []))
    checked(config)
    if choice == "data=fashion_mnist":  # its files are not to be had from every network
        monkeypatch.setattr("vae_lightning.data.splits.read_files", few_images)
    data = build_data(config)
    model = build_model(config, data.image_shape)
    batch = next(iter(data.train_dataloader()))
    assert isinstance(batch, Batch)
    noise = torch.randn(model.objective.n_samples, len(batch.pixels), model.latent_dim)
    at = TrainingStep(0, 100, 10)
    bound = model.bound(batch.pixels, noise, model.kl_weight, at)
    optimizer = optimizer_of(model.optimizer, model.parameter_groups())
    bound.loss.backward()
    optimizer.step()
    assert bound.loss.isfinite()
    assert 0 <= model.beta_schedule(at) <= 1
    assert 0 <= model.lr_schedule(at) <= 1
    if option.name in {"gpu", "multi_gpu"} and not torch.cuda.is_available():
        with pytest.raises(UserError, match=r"trainer.accelerator=cuda"):
            build_trainer(config, tmp_path, [])
    else:
        assert build_trainer(config, tmp_path, []).max_epochs == config["trainer"]["max_epochs"]


def test_each_recipe_is_the_study_of_its_own_name(configure: Callable[..., Config]) -> None:
    recipes = [path.stem for path in (config_folder() / "experiment").glob("*.yaml")]
    assert {configure(f"experiment={name}")["study"]["name"] for name in recipes} == set(recipes)


@pytest.mark.parametrize("recipe", sorted(path.stem for path in (config_folder() / "experiment").glob("*.yaml")))
def test_every_recipe_takes_every_option(recipe: str, configure: Callable[..., Config]) -> None:
    """A recipe that sets an option's own keys would make every other option of its group an error."""
    for option in OPTIONS:
        if option.parent.name not in {"experiment", "trainer", "data"}:
            checked(configure(f"experiment={recipe}", f"{option.parent}={option.name}"))


def test_every_file_says_what_it_is_and_every_value_what_it_does() -> None:
    """Recipes are excused from the second: they repeat keys that are explained where they are defined."""
    for path in config_folder().rglob("*.yaml"):
        text = path.read_text()
        assert text.startswith("#"), f"{path} does not say what it is"
        if path.parent.name != "experiment":
            bare = re.findall(r"^ *[a-z]\w*: [^#\n]+$", text.split("template:")[0], flags=re.MULTILINE)
            assert bare == [], f"{path}: no comment on {bare}"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("latent_dim=0", r"^latent_dim=0: input should be greater than or equal to 1$"),
        ("latent_dim=2.5", r"^latent_dim=2.5: input should be a valid integer"),
        ("kl_weight=-1", r"^kl_weight=-1: input should be greater than or equal to 0$"),
        ("kl_weight=heavy", r"^kl_weight=heavy: input should be a valid number$"),
        ("kl_weight=inf", r"^kl_weight=inf: input should be a finite number$"),
        ("kl_weight=nan", r"^kl_weight=nan: input should be a finite number$"),
        ("seed=-1", r"^seed=-1:"),
        ("smoke=maybe", r"^smoke=maybe: input should be a valid boolean"),
        ("+kl_wieght=1", r"^kl_wieght: not a known key; did you mean kl_weight\? valid: .*latent_dim"),
        ("+trainer.max_epoch=1", r"^trainer.max_epoch: not a known key; did you mean max_epochs\?"),
        ("trainer.max_epochs=0", r"^trainer.max_epochs=0: input should be greater than or equal to 1$"),
        ("trainer.precision=8", r"^trainer.precision=8: input should be '32-true'"),
        ("trainer.devices=0", r"^trainer.devices=0: input should be greater than or equal to 1$"),
        ("data.batch_size=0", r"^data.batch_size=0: input should be greater than or equal to 1$"),
        ("data.binarize=often", r"^data.binarize=often: input should be 'none', 'dynamic' or 'static'$"),
        ("data.source.dataset=emnist", r"^data.source.dataset=emnist: input should be 'mnist' or 'fashion_mnist'$"),
        ("likelihood.variance=0", r"^likelihood.variance=0: input should be greater than 0$"),
        ("+likelihood.sigma=1", r"^likelihood.sigma: not a known key; .*valid: mean, variance$"),
        ("~likelihood.variance", r"^likelihood.variance: missing$"),
        ("model.encoder.hidden_sizes=[400,-1]", r"^model.encoder.hidden_sizes.1=-1: input should be greater"),
        ("model.decoder.activation=selu", r"^model.decoder.activation=selu: input should be 'relu' or 'tanh'$"),
        ("+model.depth=3", r"^model.depth: not a known key; valid: decoder, encoder, name$"),
        ("objective.n_samples=0", r"^objective.n_samples=0:"),
        (
            "optimizer.lr=fast",
            r"^optimizer.lr=fast: input should be a valid number, unable to parse string as a number$",
        ),
        ("+optimizer.learning_rate=1", r"^optimizer.learning_rate: not a known key; .*valid: .*lr"),
        (
            "posterior._target_=vae_lightning.nowhere.Nothing",
            r"^posterior._target_=vae_lightning.nowhere.Nothing: not a class .*nowhere",
        ),
        ("wandb.mode=sometimes", r"^wandb.mode=sometimes: input should be 'auto', 'online', 'offline' or 'disabled'$"),
        ("study.name=a/b", r"^study.name=a/b: string should match"),
        ("study.name=..", r"^study.name=..: string should match"),
        ("data.name=../x", r"^data.name=../x: string should match"),
        ("~data.name", r"^data.name: missing$"),
        ("~data._target_", r"^data._target_: missing; it names"),
        ("likelihood._target_=math.pi", r"^likelihood._target_=math.pi: not a class or function"),
        ("likelihood._target_=os", r"^likelihood._target_=os: not a class or function"),
        (
            "beta_schedule=linear beta_schedule.length=2",
            r"^beta_schedule.length=2: it should be a share in \(0, 1\]",
        ),
        ("beta_schedule=linear beta_schedule.length=soon", r"^beta_schedule.length=soon: it should be"),
        ("beta_schedule=linear beta_schedule.shape=square", r"^beta_schedule.shape=square: input should be 'linear'"),
        (
            "posterior=student_t posterior.noise.degrees_of_freedom=2",
            r"^posterior.noise.degrees_of_freedom=2: .*greater",
        ),
        ("optimizer=separate optimizer.encoder.lr=fast", r"^optimizer.encoder.lr=fast: input should be a valid number"),
        ("+optimizer.encoder.lr=1", r"^optimizer.encoder: not a known key"),
        ("estimator=score_function estimator.baseline=mine", r"^estimator.baseline=mine: input should be 'none' or"),
        ("objective=free_bits objective.free_nats=-1", r"^objective.free_nats=-1: .*greater than or equal to 0"),
        ("objective=mmd objective.alpha=2", r"^objective.alpha=2: .*less than or equal to 1"),
        ("lr_schedule=cosine lr_schedule.final=2", r"^lr_schedule.final=2: .*less than or equal to 1"),
        ("likelihood.variance=inf", r"^likelihood.variance=inf: input should be a finite number$"),
    ],
)
def test_what_is_wrong_is_named_with_what_would_be_valid(
    override: str, message: str, configure: Callable[..., Config]
) -> None:
    with pytest.raises(UserError, match=message):
        checked(configure(*override.split()))


def test_all_faults_are_told_at_once(configure: Callable[..., Config]) -> None:
    with pytest.raises(UserError) as caught:
        checked(configure("likelihood.variance=-1", "objective.n_samples=0"))
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.lr=-1", r"optimizer: .*learning rate.*-1"),
        (
            "likelihood=bernoulli likelihood._target_=torch.nn.ReLU",
            r"what a Likelihood",
        ),
        ("posterior._target_=torch.nn.ReLU ~posterior.noise", r"what a PosteriorFamily"),
        ("model=conv data=linear_gaussian", r"needs images of 1x28x28"),
    ],
)
def test_what_only_building_can_see_is_told_before_training(
    override: str, message: str, configure: Callable[..., Config]
) -> None:
    config = configure(*override.split())
    checked(config)
    data = build_data(config)
    with pytest.raises(UserError, match=message):
        build_model(config, data.image_shape)


def test_the_weights_are_a_function_of_the_seed(configure: Callable[..., Config]) -> None:
    def weights(seed: int) -> torch.Tensor:
        model = build_model(configure(f"seed={seed}"), (1, 28, 28))
        return torch.cat([parameter.flatten() for parameter in model.parameters()])

    torch.manual_seed(123)
    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


class OwnLikelihood(BernoulliLikelihood):
    """What a user's package may bring."""

    def __init__(self, *, temperature: float) -> None:
        self.temperature = temperature


def test_a_users_own_class_is_built_and_checked_without_registration(configure: Callable[..., Config]) -> None:
    own = ["likelihood=bernoulli", f"likelihood._target_={__name__}.OwnLikelihood"]
    model = build_model(checked(configure(*own, "+likelihood.temperature=2")), (1, 28, 28))
    assert isinstance(model.likelihood, OwnLikelihood)
    assert model.likelihood.temperature == 2.0
    with pytest.raises(UserError, match=r"likelihood.temperature=hot: input should be a valid number"):
        checked(configure(*own, "+likelihood.temperature=hot"))
    with pytest.raises(UserError, match=r"likelihood.temprature: not a known key; did you mean temperature\?"):
        checked(configure(*own, "+likelihood.temprature=2"))
