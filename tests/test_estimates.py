"""A mean and its standard error."""

import math

import pytest
import torch

from vae_lightning.estimates import Mean


def test_the_error_of_a_mean_is_the_spread_of_means() -> None:
    draws = torch.randn(400, 100, generator=torch.Generator().manual_seed(0)) * 3 + 1
    found = [Mean.of(row) for row in draws]
    assert sum(each.error for each in found) / 400 == pytest.approx(float(draws.mean(1).std()), rel=0.1)
    assert math.isinf(Mean.of(draws[0, :1]).error)
    assert Mean.of(draws[0, :1]).told_error is None


@pytest.mark.parametrize(("p", "n"), [(0.3, 200), (0.5, 50)])
def test_the_error_of_a_share_is_the_spread_of_shares(p: float, n: int) -> None:
    shares = torch.bernoulli(torch.full((2_000, n), p), generator=torch.Generator().manual_seed(1)).mean(1)
    assert Mean.of_share(p, n).error == pytest.approx(float(shares.std()), rel=0.05)


def test_a_share_of_all_is_not_certain() -> None:
    for share in (0.0, 1.0):
        found = Mean.of_share(share, 100)
        assert found.value == share
        assert 0 < found.error < 0.01


def test_two_numbers_differ_beyond_both_errors() -> None:
    assert Mean(1.0, 0.1).surely_above(0.75)
    assert not Mean(1.0, 0.1).surely_above(0.85)
    assert Mean(1.0, 0.1).surely_above(Mean(0.5, 0.2))
    assert not Mean(1.0, 0.1).surely_above(Mean(0.6, 0.2))
    assert not Mean(1.0, math.inf).surely_above(-5.0)
