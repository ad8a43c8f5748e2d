from collections.abc import Callable
from typing import Any

import pytest

from vae_lightning.config import checked
from vae_lightning.runs.identity import PLAIN, RunIdentity, identify

Config = dict[str, Any]


def identity(config: Config) -> RunIdentity:
    return identify(checked(config))


@pytest.mark.parametrize(
    "override",
    ["kl_weight=1", "kl_weight=1e0", "data_dir=elsewhere", "data.evaluation_batch_size=7", "wandb.project=other",
     "trainer.log_every_n_steps=1", "trainer.devices=4", "optimizer.fused=false",
     "trainer=gpu", "trainer.num_nodes=2", "trainer.strategy=ddp", "trainer.deterministic=true", "runs_dir=.",
     "rerun=true", "resume_from=elsewhere", "save_every_n_steps=7", "wandb.mode=online", "wandb.group=g",
     "wandb.tags=[a,b]", "wandb.log_checkpoint=true", "study.question=Why?"],
)  # fmt: skip
def test_what_does_not_decide_the_result_does_not_change_the_run(
    override: str, configure: Callable[..., Config]
) -> None:
    plain, other = identity(configure("kl_weight=1.0")), identity(configure("kl_weight=1.0", override))
    assert other.fingerprint == plain.fingerprint
    assert other.directory.name == plain.directory.name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("kl_weight=0", "kl_weight=-0.0"),
        ("kl_weight=1e-3", "kl_weight=0.001"),
        ("optimizer.lr=1e-3", "optimizer.lr=0.0010"),
        ("+optimizer.maximize=false", "+optimizer.maximize=False"),
        ("model.encoder.hidden_sizes=[400,400]", "model.encoder.hidden_sizes=[400, 400]"),
    ],
)
def test_two_spellings_are_one_run(one: str, other: str, configure: Callable[..., Config]) -> None:
    assert identity(configure(one)) == identity(configure(other))


def test_lengths_in_epochs_have_one_spelling(configure: Callable[..., Config]) -> None:
    spellings = ["5 epochs", "5epochs", "5.0 epochs"]
    assert len({identity(configure("beta_schedule=linear", f"beta_schedule.length={each}")) for each in spellings}) == 1


def test_seeds_beyond_the_precision_of_a_float_are_different_runs(configure: Callable[..., Config]) -> None:
    assert identity(configure(f"seed={2**53}")).fingerprint != identity(configure(f"seed={2**53 + 1}")).fingerprint


@pytest.mark.parametrize(
    "override",
    ["kl_weight=1.1", "latent_dim=3", "seed=1", "smoke=true", "data=digits", "data.batch_size=50",
     "data.binarize=static",
     "model=conv", "model.encoder.activation=tanh", "likelihood=bernoulli", "likelihood.variance=1",
     "objective.n_samples=2", "beta_schedule=linear", "objective=free_bits", "estimator=sticking_the_landing",
     "estimator.kl=sampled", "lr_schedule=cosine", "optimizer=separate", "posterior=laplace", "optimizer.lr=0.01",
     "trainer.max_epochs=11",
     "trainer.precision=bf16-mixed", "trainer.gradient_clip_val=1.0", "data.validation_size=5000"],
)  # fmt: skip
def test_what_decides_the_result_makes_another_run(override: str, configure: Callable[..., Config]) -> None:
    assert identity(configure()).fingerprint != identity(configure(override)).fingerprint


def test_the_order_of_keys_does_not_matter(configure: Callable[..., Config]) -> None:
    config = configure()
    config["data"] = dict(reversed(config["data"].items()))
    assert identity(config) == identity(configure())


def test_the_directory_can_be_read(configure: Callable[..., Config]) -> None:
    directory = identity(configure("experiment=seed")).directory
    assert directory.parts[-2] == "seed"
    assert directory.name.startswith("mnist-conv-latent2-w0.01-seed0-")


def test_what_is_unusual_is_in_the_name_and_what_is_plain_is_not(configure: Callable[..., Config]) -> None:
    unusual = identity(configure("objective=free_bits", "posterior=laplace", "model=mlp_skip"))
    assert unusual.directory.name.startswith("mnist-mlp_skip-laplace-free_bits-latent20-w1-seed0-")
    assert unusual.title.startswith("mnist mlp_skip laplace free_bits, latent 20, kl_weight 1")
    assert {group: configure()[group]["name"] for group in PLAIN} == PLAIN


def test_the_title_carries_the_critical_quantity(configure: Callable[..., Config]) -> None:
    assert "kl_weight·σ² 0.005" in identity(configure("experiment=seed")).title
    for elsewhere in (
        "likelihood=bernoulli",
        "likelihood=gaussian_learned",
        "objective=capacity",
        "posterior=point",
        "beta_schedule=geco",
    ):
        assert "not decided by kl_weight·σ² alone" in identity(configure(elsewhere)).title


def test_a_users_own_class_speaks_for_itself(configure: Callable[..., Config]) -> None:
    own = identify(configure("likelihood=bernoulli", "likelihood._target_=my_package.Foggy"))
    assert own.title.startswith("mnist mlp Foggy, latent 20")
