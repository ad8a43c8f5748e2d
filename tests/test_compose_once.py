"""The tests' short way to a config gives what Hydra gives."""

import pytest
from compose_once import compose_once
from hydra.errors import ConfigCompositionException
from omegaconf.errors import OmegaConfBaseException

from vae_lightning.composing import composed


@pytest.mark.parametrize(
    "overrides",
    [
        ["kl_weight=1e0", "seed=7", "latent_dim=3"],
        ["experiment=remedies", "objective=iwae", "objective.n_samples=5", "trainer.max_epochs=3"],
        ["experiment=seed", "model=linear", "model.encoder.hidden_sizes=[400, 20]", "study.question=Why?"],
        ["kl_weight=2", "beta_schedule=linear", "beta_schedule.length=5 epochs", "runs_dir=a b", "kl_weight=3"],
        ["optimizer=separate", "optimizer.encoder.lr=0.1", "trainer=gpu", "resume_from=null", "rerun=true"],
        ["data=linear_gaussian", "data.source.spectrum=[1e2,1]", "wandb.tags=[a,b]", "likelihood.mean=identity"],
        ["likelihood={name:mine,_target_:my.Own}", "objective=free_bits", "objective.free_nats=-0.0"],
        ["+likelihood.sigma=1", "~data.name", "kl_weight=${latent_dim}"],
    ],
)
def test_it_is_what_hydra_composes(overrides: list[str]) -> None:
    assert repr(compose_once(*overrides)) == repr(composed(overrides, derive=False))
    assert repr(compose_once(*overrides)) == repr(composed(overrides, derive=False))  # nothing is left of the first


def test_an_unknown_key_is_an_error_in_both() -> None:
    with pytest.raises(ConfigCompositionException):
        composed(["optimizer.learning_rate=1"])
    with pytest.raises(OmegaConfBaseException):
        compose_once("optimizer.learning_rate=1")
