"""Every YAML file is composed, checked and instantiated; everything wrong is refused by its full name."""

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import FakeData

from vae_lightning.assemble import build_data, build_model, build_trainer
from vae_lightning.conf_folder import config_folder
from vae_lightning.config import checked
from vae_lightning.data import Batch
from vae_lightning.data.catalogue import FASHION_MNIST, IdxDataset
from vae_lightning.data.idx import encode_idx
from vae_lightning.distributions import BernoulliLikelihood
from vae_lightning.errors import Code, UserError
from vae_lightning.optimizers import optimizer_of
from vae_lightning.training_step import TrainingStep

Config = dict[str, Any]
OPTIONS = sorted(path.relative_to(config_folder()).with_suffix("") for path in config_folder().glob("*/*.yaml"))
GROUPS = {
    folder.name: sorted(folder.glob("*.yaml"))
    for folder in sorted(config_folder().iterdir())
    if folder.is_dir() and folder.name not in {"experiment", "trainer", "data", "hydra"}
}
GROUPS["model"] = [path for path in GROUPS["model"] if path.stem != "custom"]  # which asks for classes
FIT_TOGETHER = {
    "data=linear_gaussian": ["model=linear", "likelihood.mean=identity"],
    "estimator=dreg": ["objective=iwae"],
    "estimator=vimco": ["objective=iwae"],
    "data=array": ["data.path={folder}/x.npy", "data.batch_size=7"],
    "data=table": ["data.path={folder}/x.csv", "likelihood.mean=identity", "data.standardise=true"],
    "data=folder": ["data.path={folder}/images"],
    "data=own": ["data.function._target_=own_parts.values_and_kinds"],
    "data=torchvision": ["data.dataset=KMNIST"],
    "likelihood=poisson": ["data=array", "data.path={folder}/counts.npy"],
    "likelihood=negative_binomial": ["data=array", "data.path={folder}/counts.npy"],
    "likelihood=categorical": ["data=array", "data.path={folder}/counts.npy", "likelihood.n_classes=20"],
    "model=custom": ["model.encoder._target_=own_parts.PairEncoder", "model.decoder._target_=own_parts.Decoder"],
}


def write_data(folder: Path) -> None:
    """Write small data of each kind."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (60, 12, 10), dtype=np.uint8)
    np.save(folder / "x.npy", pixels)
    np.save(folder / "counts.npy", random.poisson(2.0, (60, 5)))
    np.savetxt(folder / "x.csv", random.normal(size=(60, 4)), delimiter=",", header="a,b,c,d", comments="")
    for index, image in enumerate(pixels):
        kind = folder / "images" / "ab"[index % 2]
        kind.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(kind / f"{index}.png")


class FewImages(FakeData):
    """Stands for a Dataset of torchvision's that would be downloaded."""

    def __init__(self, root: str, train: bool = True, split: str = "train", download: bool = False) -> None:
        super().__init__(size=200 if train else 50, image_size=(1, 28, 28), num_classes=10)


def few_images(dataset: IdxDataset, data_dir: Path) -> dict[str, bytes]:
    assert dataset is FASHION_MNIST
    images, labels = np.zeros((200, 28, 28), np.uint8), np.zeros(200, np.uint8)
    return {name: encode_idx(images if "images" in name else labels) for name in dataset.sha256}


@pytest.mark.parametrize("option", OPTIONS, ids=str)
def test_every_yaml_file_builds_a_model_that_takes_a_step(
    option: Path, configure: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = f"{option.parent}={option.name}"
    data_set = [] if option.parent.name in {"data", "experiment"} else ["data=digits"]
    write_data(tmp_path)
    for name in ("KMNIST", "EMNIST", "CIFAR10", "SVHN"):
        monkeypatch.setattr(f"torchvision.datasets.{name}", FewImages)
    more = [text.format(folder=tmp_path) for text in FIT_TOGETHER.get(choice, [])]
    config = configure(*([] if "data=array" in more else data_set), *more[:1], choice, *more[1:])
    checked(config)
    if choice == "data=fashion_mnist":  # its files are not to be had from every network
        monkeypatch.setattr("vae_lightning.data.fetch.read_files", few_images)
    data = build_data(checked(config))
    model = build_model(checked(config), data.image_shape)
    batch = next(data.train_dataloader().batches())
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
        with pytest.raises(UserError) as refused:
            build_trainer(checked(config), tmp_path, [])
        assert refused.value.code == Code.UNAVAILABLE
        assert "trainer.accelerator" in refused.value.about
    else:
        assert build_trainer(checked(config), tmp_path, []).max_epochs == config["trainer"]["max_epochs"]


def test_each_recipe_is_the_study_of_its_own_name(configure: Callable[..., Config]) -> None:
    recipes = [path.stem for path in (config_folder() / "experiment").glob("*.yaml")]
    assert {configure(f"experiment={name}")["study"]["name"] for name in recipes} == set(recipes)


ROUNDS = list(itertools.zip_longest(*([f"{group}={path.stem}" for path in paths] for group, paths in GROUPS.items())))
"""Choices of one option of every group at a time, such that every option is in one of them."""


RECIPES = sorted(path.stem for path in (config_folder() / "experiment").glob("*.yaml"))


@pytest.mark.parametrize(
    "recipe", [name if name == "sweep" else pytest.param(name, marks=pytest.mark.slow) for name in RECIPES]
)
def test_every_recipe_takes_every_option(recipe: str, configure: Callable[..., Config]) -> None:
    """Check that no recipe sets an option's own keys: every other option of its group would be an error."""
    for choices in ROUNDS:
        checked(configure(f"experiment={recipe}", *filter(None, choices)))


def test_every_file_says_what_it_is_and_every_value_what_it_does() -> None:
    """Recipes are excused from the second: they repeat keys that are explained where they are defined."""
    for path in config_folder().rglob("*.yaml"):
        text = path.read_text()
        assert text.startswith("#"), f"{path} does not say what it is"
        if path.parent.name != "experiment":
            bare = re.findall(r"^ *[a-z]\w*: [^#\n]+$", text.split("template:")[0], flags=re.MULTILINE)
            assert bare == [], f"{path}: no comment on {bare}"


WRONG = {
    Code.INVALID: {
        "latent_dim=0": "latent_dim",
        "latent_dim=2.5": "latent_dim",
        "kl_weight=-1": "kl_weight",
        "kl_weight=heavy": "kl_weight",
        "kl_weight=inf": "kl_weight",
        "kl_weight=nan": "kl_weight",
        "seed=-1": "seed",
        "smoke=maybe": "smoke",
        "trainer.max_epochs=0": "trainer.max_epochs",
        "trainer.precision=8": "trainer.precision",
        "trainer.devices=0": "trainer.devices",
        "data.batch_size=0": "data.batch_size",
        "data.binarize=often": "data.binarize",
        "data.source.dataset=emnist": "data.source.dataset",
        "likelihood.variance=0": "likelihood.variance",
        "model.encoder.hidden_sizes=[400,-1]": "model.encoder.hidden_sizes.1",
        "model.decoder.activation=selu": "model.decoder.activation",
        "objective.n_samples=0": "objective.n_samples",
        "optimizer.lr=fast": "optimizer.lr",
        "wandb.mode=sometimes": "wandb.mode",
        "study.name=a/b": "study.name",
        "study.name=..": "study.name",
        "data.name=../x": "data.name",
        "beta_schedule=linear beta_schedule.length=2": "beta_schedule.length",
        "beta_schedule=linear beta_schedule.length=soon": "beta_schedule.length",
        "beta_schedule=linear beta_schedule.shape=square": "beta_schedule.shape",
        "posterior=student_t posterior.noise.degrees_of_freedom=2": "posterior.noise.degrees_of_freedom",
        "optimizer=separate optimizer.encoder.lr=fast": "optimizer.encoder.lr",
        "estimator=score_function estimator.baseline=mine": "estimator.baseline",
        "objective=free_bits objective.free_nats=-1": "objective.free_nats",
        "objective=mmd objective.alpha=2": "objective.alpha",
        "lr_schedule=cosine lr_schedule.final=2": "lr_schedule.final",
        "likelihood.variance=inf": "likelihood.variance",
        "likelihood=categorical likelihood.n_classes=1": "likelihood.n_classes",
        "likelihood=negative_binomial likelihood.initial_dispersion=0": "likelihood.initial_dispersion",
        "likelihood=student_t likelihood.degrees_of_freedom=2": "likelihood.degrees_of_freedom",
    },
    Code.UNKNOWN_KEY: {
        "+kl_wieght=1": "kl_wieght",
        "+trainer.max_epoch=1": "trainer.max_epoch",
        "+likelihood.sigma=1": "likelihood.sigma",
        "+model.depth=3": "model.depth",
        "+optimizer.learning_rate=1": "optimizer.learning_rate",
        "+optimizer.encoder.lr=1": "optimizer.encoder",
    },
    Code.MISSING: {
        "~likelihood.variance": "likelihood.variance",
        "~data.name": "data.name",
        "~data._target_": "data._target_",
    },
    Code.CANNOT_BUILD: {
        "posterior._target_=vae_lightning.nowhere.Nothing": "posterior._target_",
        "likelihood._target_=math.pi": "likelihood._target_",
        "likelihood._target_=os": "likelihood._target_",
    },
}
SUGGESTED = {"+kl_wieght=1": "kl_weight", "+trainer.max_epoch=1": "max_epochs", "+likelihood.sigma=1": "variance"}
"""Of unknown keys: what could have been meant, or what is valid there."""


@pytest.mark.parametrize(
    ("override", "code", "key"),
    [(override, code, key) for code, table in WRONG.items() for override, key in table.items()],
)
def test_what_is_wrong_is_named_with_its_key(
    override: str, code: Code, key: str, configure: Callable[..., Config]
) -> None:
    with pytest.raises(UserError) as refused:
        checked(configure(*override.split()))
    assert (refused.value.code, refused.value.about) == (code, (key,))
    assert SUGGESTED.get(override, "") in str(refused.value)


def test_all_faults_are_told_at_once(configure: Callable[..., Config]) -> None:
    with pytest.raises(UserError) as refused:
        checked(configure("likelihood.variance=-1", "objective.n_samples=0"))
    assert set(refused.value.about) == {"likelihood.variance", "objective.n_samples"}
    assert len(str(refused.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("override", "code", "key"),
    [
        ("optimizer.lr=-1", Code.CANNOT_BUILD, "optimizer"),
        ("likelihood=student_t likelihood.initial_scale=0.002", Code.CANNOT_BUILD, "likelihood"),
        ("likelihood=bernoulli likelihood._target_=torch.nn.ReLU", Code.INCOMPLETE_PART, "likelihood._target_"),
        ("posterior._target_=torch.nn.ReLU ~posterior.noise", Code.INCOMPLETE_PART, "posterior._target_"),
        ("model=conv data=linear_gaussian", Code.INCOMPATIBLE, "model"),
    ],
)
def test_what_only_building_can_see_is_told_before_training(
    override: str, code: Code, key: str, configure: Callable[..., Config]
) -> None:
    config = configure(*override.split())
    checked(config)
    with pytest.raises(UserError) as refused:
        build_model(checked(config), (1, 8, 1) if "linear_gaussian" in override else (1, 28, 28))
    assert refused.value.code == code
    assert refused.value.about[0] == key


def test_the_weights_are_a_function_of_the_seed(configure: Callable[..., Config]) -> None:
    def weights(seed: int) -> torch.Tensor:
        model = build_model(checked(configure(f"seed={seed}")), (1, 28, 28))
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
    with pytest.raises(UserError) as refused:
        checked(configure(*own, "+likelihood.temperature=hot"))
    assert (refused.value.code, refused.value.about) == (Code.INVALID, ("likelihood.temperature",))
    with pytest.raises(UserError) as refused:
        checked(configure(*own, "+likelihood.temprature=2"))
    assert refused.value.code == Code.UNKNOWN_KEY
    assert "temperature" in str(refused.value)
