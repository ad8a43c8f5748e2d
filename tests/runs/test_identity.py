"""A run is its config: what decides the result makes another run, and nothing else does, a rename least of all."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from vae_lightning.conf_folder import default_options
from vae_lightning.config import checked
from vae_lightning.evaluating import evaluate
from vae_lightning.runs import upgrade
from vae_lightning.runs.directory import read_config
from vae_lightning.runs.identity import RunIdentity, identify, shown_settings
from vae_lightning.runs.status import find_runs
from vae_lightning.runs.upgrade import part_name, upgraded

Config = dict[str, Any]
OF_0_3 = Path(__file__).parent / "of_0_3"
"""Two small runs that version 0.3.0 trained."""


def identity(config: Config) -> RunIdentity:
    return checked(config).identity


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


def test_the_ordinary_options_are_those_of_the_config_and_go_by_their_names(configure: Callable[..., Config]) -> None:
    config = configure()
    groups = {group: option for group, option in default_options().items() if "name" in config.get(group, {})}
    assert {"data", "likelihood", "posterior", "objective", "estimator", "beta_schedule", "optimizer"} <= groups.keys()
    assert {group: config[group]["name"] for group in groups} == groups


def test_a_users_own_class_speaks_for_itself(configure: Callable[..., Config]) -> None:
    foggy, clear = (
        identify(configure("likelihood=bernoulli", f"likelihood._target_=my_package.{name}"))
        for name in ("Foggy", "Clear")
    )
    assert foggy.title.startswith("mnist mlp Foggy, latent 20")
    assert foggy.fingerprint != clear.fingerprint


def test_a_rename_changes_no_run(configure: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    config = configure("lr_schedule=cosine", "beta_schedule=cyclical_linear")
    before = identity(config)
    here = config["beta_schedule"]["_target_"]
    moved = {
        "vae_lightning.of_old.cyclical": "vae_lightning.older.cyclical_rise",
        "vae_lightning.older.cyclical_rise": here,
    }
    monkeypatch.setattr(upgrade, "MOVED", upgrade.MOVED | moved)
    assert identify(config).fingerprint == before.fingerprint
    for old in (*moved, "vae_lightning.beta_schedules.cyclical"):
        config["beta_schedule"]["_target_"] = old
        assert identify(config).fingerprint == before.fingerprint
        assert upgraded(config)["beta_schedule"]["_target_"] == here


def test_a_renamed_part_keeps_its_first_name() -> None:
    assert part_name("vae_lightning.optimizers.cosine") == part_name("vae_lightning.schedules.cosine_decay") == "cosine"
    assert part_name("vae_lightning.distributions.GaussianLikelihood") == "GaussianLikelihood"
    assert part_name("torch.optim.Adam") == "torch.optim.Adam"


def test_a_key_that_was_added_later_counts_once_it_is_another(
    configure: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure()
    before = identify(config).fingerprint
    monkeypatch.setattr(upgrade, "ADDED", added := dict(upgrade.ADDED))
    added["smoke"] = config["smoke"]
    without = {key: value for key, value in config.items() if key != "smoke"}
    assert identify(config).fingerprint == identify(without).fingerprint != before
    assert upgraded(without) == config
    assert identify({**config, "smoke": True}).fingerprint != identify(config).fingerprint


def test_other_mathematics_under_the_same_name_are_another_run(
    configure: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    from vae_lightning.objectives import Elbo, Iwae

    elbo, iwae = configure(), configure("objective=iwae")
    before = identity(elbo).fingerprint, identity(iwae).fingerprint
    monkeypatch.setattr(Iwae, "revision", Iwae.revision + 1)
    assert identity(elbo).fingerprint == before[0]
    assert identity(iwae).fingerprint != before[1]
    assert not hasattr(Elbo, "revision")


@pytest.mark.parametrize("folder", sorted(OF_0_3.iterdir()), ids=lambda folder: folder.name)
def test_runs_of_0_3_are_read(folder: Path, tmp_path: Path, data_dir: Path) -> None:
    """Their config builds the same parts, their checkpoint loads, and what is found agrees with what was found then."""
    saved = upgraded(read_config(folder))
    saved.pop("run")
    assert checked(saved).kl_weight == saved["kl_weight"]
    [run] = find_runs([folder]).runs
    copy = shutil.copytree(folder, tmp_path / folder.name)
    found = evaluate(copy, 10, None, [], Console(quiet=True))
    for key in (
        "test/kl",
        "test/distortion",
        "forecast/critical_weights",
        "test/active_units",
    ):
        assert found[key] == pytest.approx(run.results[key], rel=1e-5)


def test_shown_settings_have_names_of_own_classes_and_no_import_paths() -> None:
    ours, theirs = "vae_lightning.networks.MLPEncoder", "experiments.mistakes.Forgotten"
    optimizer = {"optimizer.name": "separate", "optimizer._target_": theirs, "optimizer._partial_": True}
    model = {"model.name": "mlp", "model.encoder._target_": ours}
    shown = shown_settings({"kl_weight": 1.0, **optimizer, **model})
    assert shown == {"kl_weight": 1.0, "optimizer.name": "Forgotten", "model.name": "mlp"}
