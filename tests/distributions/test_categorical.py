"""The categorical: torch's probabilities, its layout of channels, its draws, and which data are refused."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Categorical

from vae_lightning.combinations import pixel_conflicts
from vae_lightning.data import Images
from vae_lightning.distributions import BernoulliLikelihood, CategoricalLikelihood
from vae_lightning.errors import Code, UserError
from vae_lightning.forecasting import critical_weights
from vae_lightning.training import train

Config = dict[str, Any]
K, CHANNELS = 5, 2
GENERATOR = torch.Generator().manual_seed(0)
CLASSES = torch.randint(0, K, (4, CHANNELS, 3, 3), generator=GENERATOR).double()
VALUES = torch.randn(3, 4, K * CHANNELS, 3, 3, generator=GENERATOR, dtype=torch.float64) * 3
LIKELIHOOD = CategoricalLikelihood(n_classes=K)
PIXEL_DIMS = (-3, -2, -1)


def reference(values: torch.Tensor) -> Categorical:
    """Return torch's, of channels in the layout of ``chunk``."""
    return Categorical(logits=torch.stack(values.chunk(K, dim=-3), dim=-1))


def test_it_equals_torch_distributions_on_channels_as_chunk_lays_them_out() -> None:
    expected = reference(VALUES)
    found = LIKELIHOOD.log_prob(CLASSES, VALUES)
    assert found.shape == (3, 4)
    torch.testing.assert_close(found, expected.log_prob(CLASSES).sum(PIXEL_DIMS))
    torch.testing.assert_close(LIKELIHOOD.mean(VALUES), (expected.probs * torch.arange(K)).sum(-1))


def test_of_two_classes_it_is_a_bernoulli_of_the_difference_of_the_logits() -> None:
    values, binary = VALUES[:, :, : 2 * CHANNELS], (CLASSES > 2).double()
    difference = values[:, :, CHANNELS:] - values[:, :, :CHANNELS]
    torch.testing.assert_close(
        CategoricalLikelihood(n_classes=2).log_prob(binary, values), BernoulliLikelihood().log_prob(binary, difference)
    )


def test_its_probabilities_sum_to_one() -> None:
    every = torch.arange(K).double().reshape(K, 1, 1, 1).expand(K, CHANNELS, 1, 1)
    values = VALUES[:, :1, :, :1, :1].expand(-1, K, -1, -1, -1)
    total = (reference(values).log_prob(every).exp()).sum(1)
    torch.testing.assert_close(total, torch.ones_like(total))
    one_channel = LIKELIHOOD.log_prob(every[:, :1], values[:, :, ::CHANNELS]).exp().sum(1)
    torch.testing.assert_close(one_channel, torch.ones(3, dtype=torch.float64))


@torch.no_grad()
def test_samples_are_classes_in_their_shares() -> None:
    n = 100_000
    logits = torch.tensor([0.3, -2.0, 1.0, -1e4, 0.0], dtype=torch.float64)
    values = logits.reshape(1, K, 1, 1).expand(n, -1, -1, -1)
    drawn = LIKELIHOOD.sample(values, torch.Generator().manual_seed(1))
    assert drawn.shape == (n, 1, 1, 1)
    assert torch.equal(drawn, LIKELIHOOD.sample(values, torch.Generator().manual_seed(1)))
    assert abs(float(drawn.mean() - LIKELIHOOD.mean(values)[0])) < 4 * float(drawn.std()) / math.sqrt(n)
    for k, p in enumerate(logits.softmax(0).tolist()):
        share = float((drawn == k).double().mean())
        assert abs(share - p) <= 4 * math.sqrt(p * (1 - p) / n)


def test_draws_of_several_channels_keep_the_layout() -> None:
    chosen = torch.cat([torch.where(k == CLASSES, 0.0, -1e4) for k in range(K)], dim=1).expand(2, -1, -1, -1, -1)
    drawn = LIKELIHOOD.sample(chosen, torch.Generator().manual_seed(0))
    assert torch.equal(drawn, CLASSES.expand(2, -1, -1, -1, -1))


def test_the_gradient_is_the_class_minus_its_probability() -> None:
    values = VALUES[0].clone().requires_grad_()
    LIKELIHOOD.log_prob(CLASSES, values).sum().backward()
    is_class = torch.cat([(k == CLASSES).double() for k in range(K)], dim=1)
    probabilities = torch.cat(list(reference(values.detach()).probs.unbind(-1)), dim=1)
    torch.testing.assert_close(values.grad, is_class - probabilities)


def test_extreme_values_stay_finite() -> None:
    values = torch.tensor([1e4, -1e4, 0.0, 1e4, 5.0]).reshape(1, K, 1, 1).expand(K, -1, -1, -1).clone().requires_grad_()
    found = LIKELIHOOD.log_prob(torch.arange(K).float().reshape(K, 1, 1, 1), values)
    found.sum().backward()
    torch.testing.assert_close(found, torch.tensor([0.0, -2e4, -1e4, 0.0, 5 - 1e4]) - math.log(2))
    assert values.grad is not None
    assert values.grad.isfinite().all()


def test_sixteen_bit_values_are_summed_in_thirty_two() -> None:
    values = VALUES.bfloat16()
    found = LIKELIHOOD.log_prob(CLASSES.float(), values)
    assert found.dtype is torch.float32
    torch.testing.assert_close(found, LIKELIHOOD.log_prob(CLASSES.float(), values.float()))


def test_the_encoder_is_shown_the_classes_between_0_and_1() -> None:
    seen = LIKELIHOOD.seen_by_encoder(torch.arange(K).float().reshape(K, 1, 1, 1))
    assert seen.flatten().tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]


# Data -----------------------------------------------------------------------------------------------------------


def conflicts(likelihood: Any, scale: str, *parts: torch.Tensor) -> list[tuple[str, tuple[str, ...]]]:
    splits = {str(n): Images(part, torch.zeros(len(part))) for n, part in enumerate(parts)}
    return list(pixel_conflicts(likelihood, scale, "none", splits))


def test_a_class_too_many_in_any_part_is_refused_with_the_number_that_would_do() -> None:
    fits, too_large = torch.tensor([[0.0, K - 1]]), torch.tensor([[0.0, 41_000.0]])
    assert conflicts(LIKELIHOOD, "counts", fits, fits) == []
    for parts in ((fits, too_large), (too_large, fits)):
        [(reason, about)] = conflicts(LIKELIHOOD, "counts", *parts)
        assert about == ("likelihood.n_classes", "data")
        assert "41000" in reason
        assert "likelihood.n_classes=41001" in reason


def test_binary_pixels_lie_in_memory_as_0_and_255_and_are_two_classes() -> None:
    assert conflicts(CategoricalLikelihood(n_classes=2), "binary", torch.tensor([[0, 255]], dtype=torch.uint8)) == []


@pytest.mark.parametrize("command", [train, critical_weights])
@pytest.mark.parametrize(
    ("overrides", "about"),
    [
        ("data=array data.path={data}/classes.npy likelihood.n_classes=6", ("likelihood.n_classes", "data")),
        ("data=array data.path={data}/real.npy likelihood.n_classes=7", ("likelihood", "data.scale")),
        ("data=digits likelihood.n_classes=256", ("likelihood", "data.scale")),
    ],
)
def test_what_is_no_class_is_refused_before_anything_is_written(
    overrides: str,
    about: tuple[str, ...],
    command: Callable[..., Any],
    configure: Callable[..., Config],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    data = tmp_path_factory.mktemp("data")
    np.save(data / "classes.npy", np.arange(7 * 40).reshape(40, 7) % 7)
    np.save(data / "real.npy", np.random.default_rng(0).normal(size=(40, 7)))
    choice, *others = overrides.format(data=data).split()
    more = ["data.batch_size=6"] if choice == "data=array" else []
    with pytest.raises(UserError) as refused:
        command(configure(choice, "likelihood=categorical", *others, *more))
    assert (refused.value.code, refused.value.about) == (Code.INCOMPATIBLE, about)
    assert list(tmp_path.iterdir()) == []
