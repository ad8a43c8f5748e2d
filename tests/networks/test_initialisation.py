"""Weights begin as the papers say, and a decoder at the mean image."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from vae_lightning.assemble import begin_at_mean_image, build_data, build_model
from vae_lightning.config import checked
from vae_lightning.data.module import mean_image
from vae_lightning.errors import Code, UserError
from vae_lightning.networks import initialise

Config = dict[str, Any]
BINARY = ("likelihood=bernoulli", "data.binarize=dynamic")


@pytest.mark.parametrize(
    ("layer", "fan_in_and_out"),
    [(nn.Linear(400, 200), 600), (nn.Conv2d(32, 64, 3), 32 * 9 + 64 * 9), (nn.ConvTranspose2d(64, 32, 3), 96 * 9)],
)
def test_glorot_has_its_variance_and_its_bound(layer: nn.Module, fan_in_and_out: int) -> None:
    torch.manual_seed(0)
    initialise(layer, "glorot")
    bound = (6 / fan_in_and_out) ** 0.5
    assert float(layer.weight.detach().abs().max()) == pytest.approx(bound, rel=1e-3)
    assert float(layer.weight.detach().abs().max()) <= bound * (1 + 1e-6)
    assert float(layer.weight.detach().var()) == pytest.approx(2 / fan_in_and_out, rel=0.05)
    assert not layer.bias.any()


def test_normal_has_its_deviation() -> None:
    layer = nn.Linear(300, 300)
    initialise(layer, "normal")
    assert float(layer.weight.detach().std()) == pytest.approx(0.01, rel=0.02)
    assert not layer.bias.any()


def test_torchs_own_is_left_alone(tiny: Callable[..., Config]) -> None:
    layer = nn.Linear(3, 4)
    before = layer.weight.clone()
    initialise(layer, "torch")
    assert torch.equal(layer.weight, before)
    plain, named = (checked(tiny(*extra)) for extra in ([], ["model.init=torch", "model.output_bias=torch"]))
    assert plain.fingerprint == named.fingerprint
    assert checked(tiny("model.init=glorot")).fingerprint != plain.fingerprint


def test_the_decoder_begins_at_the_mean_image(tiny: Callable[..., Config]) -> None:
    config = checked(tiny(*BINARY, "model.init=normal", "model.output_bias=pixel_means"))
    data = build_data(config)
    model = build_model(config, data.image_shape)
    begin_at_mean_image(model, data)
    expected = data.splits["train"].pixels.float().mean(0) / 255
    torch.testing.assert_close(mean_image(data), expected, atol=1e-6, rtol=0)
    shown = model.decode(torch.zeros(1, model.latent_dim))[0]
    torch.testing.assert_close(shown, expected.clamp(1e-3, 1 - 1e-3), atol=1e-6, rtol=0)


@pytest.mark.parametrize("extra", [["model=conv"], ["likelihood=gaussian_per_pixel"]])
def test_where_it_cannot_begin_there_one_error_says_so(extra: list[str], tiny: Callable[..., Config]) -> None:
    from vae_lightning.training import train

    with pytest.raises(UserError) as fault:
        train(tiny("model.output_bias=pixel_means", *extra))
    assert fault.value.code is Code.INCOMPATIBLE
    assert "model.output_bias" in fault.value.about
