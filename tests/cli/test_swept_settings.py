"""A setting of an option that is swept over goes with each of its options."""

import pytest

from vae_lightning.cli.swept_settings import with_settings_swept


@pytest.mark.parametrize(
    ("typed", "done"),
    [
        ("-m beta_schedule=linear,cosine beta_schedule.length=0.5", {"beta_schedule.length=choice(0.5)"}),
        ("--multirun model=mlp,mlp_skip model.init=glorot seed=1", {"model.init=choice(glorot)"}),
        ("-m objective=choice(iwae,elbo) +objective.a=[1,2]", {"+objective.a=choice([1,2])"}),
        ("-m beta_schedule=linear,cosine beta_schedule.length=0.5,0.25", set()),  # swept over already
        ("-m beta_schedule=linear beta_schedule.length=0.5 seed=0,1", set()),  # its group has one option
        ("-m model=mlp,linear ~likelihood.variance kl_weight=1", set()),
        ("beta_schedule=linear,cosine beta_schedule.length=0.5", set()),  # no sweep: Hydra will say so
        ("-m beta_schedule=linear,cosine seed=[", set()),  # not to be read: Hydra will say so
    ],
)
def test_only_settings_of_a_swept_group_change(typed: str, done: set[str]) -> None:
    arguments = typed.split()
    found = with_settings_swept(arguments)
    assert set(found) - set(arguments) == done
    assert len(found) == len(arguments)


def test_a_value_with_a_space_stays_one_value() -> None:
    arguments = ["-m", "beta_schedule=linear,cosine", "beta_schedule.length='5 epochs'"]
    assert with_settings_swept(arguments)[2] == "beta_schedule.length=choice('5 epochs')"
