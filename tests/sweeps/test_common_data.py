"""What the jobs of a sweep have in common of their data: the fork server loads it once."""

from collections.abc import Callable
from typing import Any

import pytest
from omegaconf import OmegaConf

from vae_lightning.sweeps.plugins import _common_data

Config = dict[str, Any]


def common(configure: Callable[..., Config], *overrides: str, **changed: Any) -> tuple[dict[str, Any], int] | None:
    config = OmegaConf.create(
        {**configure("data=digits"), "hydra": {"overrides": {"task": list(overrides)}}, **changed}
    )
    return _common_data(config)


@pytest.mark.parametrize("override", ["kl_weight=1,2", "seed=0,1", "data=digits", "data.batch_size=50"])
def test_the_data_are_common_where_they_are_not_swept_over(override: str, configure: Callable[..., Config]) -> None:
    found = common(configure, override)
    assert found is not None
    assert (found[0]["source"]["_target_"], found[1]) == ("vae_lightning.data.digits", 0)


@pytest.mark.parametrize("override", ["data=digits,mnist", "data.binarize=choice(none,static)", "data_dir=a,b"])
def test_data_that_are_swept_over_are_not(override: str, configure: Callable[..., Config]) -> None:
    assert common(configure, override) is None


@pytest.mark.parametrize("changed", [{"seed": "many"}, {"seed": None}, {"data": "${nothing.there}"}])
def test_what_is_wrong_with_a_config_is_left_to_the_plan_of_the_sweep(
    changed: Config, configure: Callable[..., Config]
) -> None:
    assert common(configure, "kl_weight=1,2", **changed) is None
