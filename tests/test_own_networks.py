"""Networks and callbacks of the user's own: a checked contract, and exact resume whatever they draw."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from faults_in_training import cut_power

from vae_lightning.assemble import build_callbacks, build_model
from vae_lightning.config import checked
from vae_lightning.errors import Code, UserError
from vae_lightning.runs.checkpoints import load_checkpoint
from vae_lightning.runs.comparison import run_differences
from vae_lightning.runs.directory import newest_checkpoint
from vae_lightning.training import train

Config = dict[str, Any]
OWN = ["model=custom", "model.encoder._target_=own_parts.PairEncoder", "model.decoder._target_=own_parts.Decoder"]


@pytest.fixture
def owned(configure: Callable[..., Config]) -> Callable[..., Config]:
    def configured(*overrides: str) -> Config:
        small = ["data=digits", "data.source._target_=small_digits.small_digits", "latent_dim=3", *OWN]
        return configure(*small, "trainer.max_epochs=2", "trainer.log_every_n_steps=5", *overrides)

    return configured


def test_a_pair_of_mean_and_log_variance_is_what_the_encoder_gives(owned: Callable[..., Config]) -> None:
    model = build_model(checked(owned()), (1, 8, 8)).eval()
    pixels = torch.rand(5, 1, 8, 8)
    mean, log_variance = model.encoder(pixels)
    posterior = model.encode(pixels)
    assert torch.equal(posterior.mean, mean)
    assert torch.equal(posterior.log_squared_scale, log_variance)


def test_a_run_whose_networks_draw_is_a_function_of_its_seed(owned: Callable[..., Config], tmp_path: Any) -> None:
    """Dropout draws from torch's global generator, which has another state here each time."""
    found = []
    for name in ("one", "other"):
        torch.manual_seed(len(found))
        config = checked(owned(f"runs_dir={tmp_path / name}"))
        train(config)
        found.append(load_checkpoint(newest_checkpoint(config.directory))["state_dict"])
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])
    assert not torch.equal(found[0]["encoder.mean.weight"], torch.zeros_like(found[0]["encoder.mean.weight"]))


def test_a_run_whose_networks_draw_goes_on_exactly(owned: Callable[..., Config], tmp_path: Any) -> None:
    alone, killed = (owned(f"runs_dir={tmp_path / name}", "save_every_n_steps=4") for name in ("alone", "killed"))
    train(alone)
    cut_power(19, killed)
    train(killed)
    assert run_differences(checked(killed).directory, checked(alone).directory) == []


@pytest.mark.parametrize(
    ("changes", "code", "about"),
    [
        (["model.decoder._target_=own_parts.FlatDecoder"], Code.INCOMPATIBLE, "model.decoder"),
        (["model.decoder._target_=torch.nn.Identity"], Code.INCOMPATIBLE, "model.decoder"),
        (["model.encoder._target_=own_parts.Counting"], Code.CANNOT_BUILD, "model.encoder"),
        (["model.encoder._target_=own_parts.Decoder"], Code.CANNOT_BUILD, "model.encoder"),
    ],
)
def test_a_network_that_does_not_fit_is_told_the_shapes(
    changes: list[str], code: Code, about: str, owned: Callable[..., Config]
) -> None:
    with pytest.raises(UserError) as refused:
        build_model(checked(owned(*changes)), (1, 8, 8))
    assert (refused.value.code, refused.value.about) == (code, (about,))


def test_weights_that_are_drawn_at_the_first_input_follow_the_seed(owned: Callable[..., Config]) -> None:
    lazy = "model.encoder._target_=own_parts.LazyEncoder"
    drawn = []
    for global_seed, seed in ((1, 0), (2, 0), (3, 1)):
        torch.manual_seed(global_seed)
        drawn.append(
            build_model(checked(owned(lazy, f"seed={seed}")), (1, 8, 8)).state_dict()["encoder.layers.1.weight"]
        )
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_custom_asks_for_both_networks(configure: Callable[..., Config]) -> None:
    with pytest.raises(UserError) as refused:
        checked(configure("data=digits", "model=custom"))
    assert refused.value.code == Code.MISSING
    assert set(refused.value.about) == {"model.encoder._target_", "model.decoder._target_"}


def test_callbacks_of_the_config_hear_the_training_and_are_part_of_the_run(owned: Callable[..., Config]) -> None:
    plain, more = owned(), owned("callbacks=[{_target_: own_parts.Counting, start: 3}]")
    assert checked(plain).fingerprint != checked(more).fingerprint
    [callback] = build_callbacks(checked(more))
    assert callback.n == 3
    assert train(more)["steps"] == 30
    with pytest.raises(UserError) as refused:
        build_callbacks(checked(owned("callbacks=[{_target_: torch.nn.Identity}]")))
    assert (refused.value.code, refused.value.about) == (Code.INVALID, ("callbacks.0",))


@pytest.mark.parametrize("model", ["conv", "resnet"])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 24, 40), (1, 9, 17), (4, 100, 8)])
def test_convolutions_take_images_of_any_size(
    model: str, shape: tuple[int, int, int], configure: Callable[..., Config]
) -> None:
    config = checked(configure("data=digits", f"model={model}", "latent_dim=3"))
    vae = build_model(config, shape)
    pixels = torch.rand(2, *shape)
    assert vae(pixels).shape == pixels.shape


@pytest.mark.parametrize(("shape", "depth"), [((1, 1, 40), "null"), ((1, 28, 28), "4")])
def test_images_too_small_for_convolutions_are_refused(
    shape: tuple[int, int, int], depth: str, configure: Callable[..., Config]
) -> None:
    changes = [f"model.{side}.depth={depth}" for side in ("encoder", "decoder")]
    with pytest.raises(UserError) as refused:
        build_model(checked(configure("data=digits", "model=conv", *changes)), shape)
    assert refused.value.code == Code.INCOMPATIBLE
    assert refused.value.about[0].startswith("model")
