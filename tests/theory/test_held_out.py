"""What directions are worth on rows that did not choose them: noise is told from factors, and errors are honest."""

import pytest
import torch

from vae_lightning.data import Images
from vae_lightning.distributions import BernoulliLikelihood, GaussianLikelihood
from vae_lightning.theory import Forecast, HeldOut, forecast, pixel_moments
from vae_lightning.theory.held_out import fold_of_rows, held_out_by_folds, held_out_by_rows


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images_of(rows: torch.Tensor) -> Images:
    return Images(rows.reshape(len(rows), 1, 1, -1), torch.zeros(len(rows), dtype=torch.long))


def bits(n: int, n_bits: int, factor: float = 0.0) -> Images:
    """Return bits that are independent but for one factor of the first tenth of them."""
    logits = torch.randn(n_bits, generator=drawn(1)).expand(n, -1).clone()
    logits[:, : n_bits // 10] += factor * torch.randn(n, 1, generator=drawn(2))
    return images_of(torch.bernoulli(torch.sigmoid(logits), generator=drawn(3)).to(torch.uint8) * 255)


@pytest.mark.parametrize(
    ("n", "n_bits"), [(18_000, 200), (3_000, 1_100), pytest.param(2_000, 12_288, marks=pytest.mark.slow)]
)
def test_independent_bits_have_no_direction_on_new_data_and_a_planted_factor_is_found(n: int, n_bits: int) -> None:
    found = forecast(pixel_moments(bits(n, n_bits), "static"), BernoulliLikelihood(), 50)
    assert isinstance(found, Forecast)
    assert found.active_units(1.0) == 50  # what the sample pretends
    surely, perhaps = found.units_on_new_data(1.0)
    assert surely <= 1
    assert perhaps > surely  # noise has a critical weight of exactly 1: undecided
    planted = forecast(pixel_moments(bits(n, n_bits, factor=2.0), "static"), BernoulliLikelihood(), 50)
    surely, _ = planted.units_on_new_data(1.0)
    assert 1 <= surely <= 2
    # A factor moves a tenth of the bits: their correlations sum to far more than noise has.
    assert float(planted.held_out.values[0]) > 0.01 * n_bits


def test_the_leading_direction_of_noise_is_worth_its_variance_and_the_error_is_honest() -> None:
    """40 draws of 400 rows in 50 dimensions: in sample the largest eigenvalue is about 1.8."""
    found: list[HeldOut] = []
    for draw in range(40):
        rows = torch.randn(400, 50, generator=drawn(100 + draw))
        found.append(held_out_by_rows(rows - rows.mean(0), 3))
    values = torch.stack([each.values for each in found])
    errors = torch.stack([each.errors for each in found])
    assert values.mean(0).sub(1).abs().max() < 4 * values.std(0).max() / 40**0.5
    outside = ((values - 1).abs() > 2 * errors).double().mean()
    assert outside < 0.12  # 0.05 is expected of 120
    torch.testing.assert_close(errors.mean(0), values.std(0), rtol=0.3, atol=0)


def test_by_folds_and_by_rows_are_the_same_story() -> None:
    scales = torch.tensor([4.0, 2.0, *[1.0] * 18]).sqrt()
    rows = torch.randn(8_000, 20, generator=drawn(5)) * scales
    rows -= rows.mean(0)
    fold = fold_of_rows(len(rows))
    folds = torch.stack([(rows[fold == k].T @ rows[fold == k]).double() / int((fold == k).sum()) for k in range(8)])
    one, other = held_out_by_folds(folds, 2), held_out_by_rows(rows, 2)
    for found in (one, other):
        assert ((found.values - torch.tensor([4.0, 2.0])).abs() < 4 * found.errors).all()
    torch.testing.assert_close(one.errors, other.errors, rtol=0.8, atol=0)


def test_folds_are_equal_in_size_and_blind_to_an_alternation() -> None:
    """As MNIST's, whose images come from two sources in turn."""
    fold = fold_of_rows(8_003)
    sizes = torch.bincount(fold)
    assert sizes.tolist() == [1001] * 3 + [1000] * 5
    even = torch.arange(8_003) % 2 == 0
    share = torch.stack([even[fold == k].double().mean() for k in range(8)])
    assert share.sub(0.5).abs().max() < 0.07


def test_only_leading_directions_count() -> None:
    found = HeldOut(torch.tensor([3.0, 0.5, 2.0]).double(), torch.tensor([0.1, 0.1, 0.1]).double())
    assert (found.surely_above(1.0), found.perhaps_above(1.0)) == (1, 1)
    assert (found.surely_above(2.9), found.perhaps_above(2.9)) == (0, 1)


def test_too_few_images_tell_nothing() -> None:
    found = forecast(
        pixel_moments(images_of(torch.randn(15, 4, generator=drawn(6))), "none"),
        GaussianLikelihood(variance=1.0, mean="identity"),
        2,
    )
    assert isinstance(found, Forecast)
    assert found.units_on_new_data(1.0) is None


def test_dynamic_binarisation_is_in_every_fold() -> None:
    """The mean of the folds is the covariance, and each fold's own noise is p (1 - p) at its own mean."""
    grey = torch.rand(800, 6, generator=drawn(7))
    moments = pixel_moments(images_of((grey * 255).round().to(torch.uint8)), "dynamic")
    torch.testing.assert_close(moments.folds.mean(0), moments.covariance, rtol=1e-6, atol=1e-6)
    draws = torch.bernoulli(grey[fold_of_rows(800) == 0].repeat(4_000, 1), generator=drawn(8)).double()
    second = ((draws - moments.mean) ** 2).mean(0)
    torch.testing.assert_close(moments.folds[0].diagonal(), second, rtol=0, atol=3e-3)
