"""Moments of many pixels: the same numbers without the covariance matrix."""

from typing import Any

import pytest
import torch

from vae_lightning.data import Images
from vae_lightning.distributions import (
    BernoulliLikelihood,
    GaussianLearnedLikelihood,
    GaussianLikelihood,
    Likelihood,
    NegativeBinomialLikelihood,
    PoissonLikelihood,
)
from vae_lightning.theory import Forecast, MomentsOfMany, PixelMoments, forecast, pixel_moments
from vae_lightning.theory.code_free import best_code_free
from vae_lightning.theory.eigenvalues import leading_eigenpairs

N_PIXELS = 60


def images(kind: str) -> Images:
    """400 images made of five factors; the last pixel never varies."""
    generator = torch.Generator().manual_seed(5)
    factors = torch.randn(400, 5, generator=generator) * torch.tensor([2.0, 1.5, 1.0, 0.7, 0.5])
    values = factors @ torch.randn(5, N_PIXELS, generator=generator) / 5
    values += 0.1 * torch.randn(400, N_PIXELS, generator=generator)
    if kind == "counts":
        pixels = torch.poisson(values.exp(), generator=generator)
    else:
        pixels = (torch.sigmoid(values) * 255).round().to(torch.uint8)
    pixels[:, -1] = 0
    return Images(pixels.reshape(400, 1, 6, 10), torch.zeros(400, dtype=torch.long))


@pytest.mark.parametrize("few_images", [3000, 10], ids=["by products of images", "by products with vectors"])
@pytest.mark.parametrize(
    ("likelihood", "kind", "binarize"),
    [
        (GaussianLikelihood(variance=0.5, mean="sigmoid"), "grey", "none"),
        (GaussianLearnedLikelihood(initial_variance=0.5, min_log_sigma=-6.0, mean="sigmoid"), "grey", "none"),
        (BernoulliLikelihood(), "grey", "none"),
        (BernoulliLikelihood(), "grey", "dynamic"),
        (PoissonLikelihood(), "counts", "none"),
    ],
)
def test_the_forecast_of_many_pixels_is_the_one_by_the_whole_covariance(
    likelihood: Likelihood, kind: str, binarize: Any, few_images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = images(kind)
    whole = pixel_moments(data, binarize)
    monkeypatch.setattr("vae_lightning.theory.moments.MOST_PIXELS", 10)
    monkeypatch.setattr("vae_lightning.theory.moments.FEW_IMAGES", few_images)
    monkeypatch.setattr("vae_lightning.theory.moments.ROWS_AT_ONCE", 7_000)  # several pieces
    many = pixel_moments(data, binarize)
    assert isinstance(whole, PixelMoments)
    assert isinstance(many, MomentsOfMany)
    torch.testing.assert_close(many.variance, whole.variance, rtol=1e-5, atol=1e-7)
    one, other = forecast(whole, likelihood, 8), forecast(many, likelihood, 8)
    assert isinstance(one, Forecast)
    assert isinstance(other, Forecast)
    n = len(other.critical_weights)
    assert n == 20
    torch.testing.assert_close(other.critical_weights, one.critical_weights[:n], rtol=2e-4, atol=1e-6)
    for weight in (0.1, 0.5, 1.0, 3.0):
        assert other.active_units(weight) == one.active_units(weight)
        if (variance := one.variance_at(weight)) is not None:
            assert other.variance_at(weight) == pytest.approx(variance, rel=1e-4)


@pytest.mark.parametrize("likelihood", [PoissonLikelihood(), NegativeBinomialLikelihood(initial_dispersion=1.0)])
def test_counts_have_the_spectrum_of_their_dispersion(likelihood: Likelihood) -> None:
    """The critical weights are the eigenvalues of V^-1/2 Cov V^-1/2, V the mean or, with r, mean + mean^2 / r."""
    data = images("counts")
    moments = pixel_moments(data, "none")
    found = forecast(moments, likelihood, 8)
    fitted = best_code_free(moments, likelihood).likelihood
    inverse_dispersion = float(fitted.log_dispersion.detach().neg().exp()) if fitted is not likelihood else 0.0
    values = data.pixels.flatten(1)[:, :-1].double()
    mean = values.mean(0)
    scale = (mean + inverse_dispersion * mean.square()).rsqrt()
    expected = torch.linalg.eigvalsh(scale[:, None] * values.T.cov(correction=0) * scale).flip(0)
    assert isinstance(found, Forecast)
    torch.testing.assert_close(found.critical_weights[:8], expected[:8], rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("rank", [3, 30, 200])
def test_leading_eigenpairs_of_few_directions_are_found_without_going_on_for_ever(
    rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the directions in which there is nothing, iterations would look for each until their limit."""
    generator = torch.Generator().manual_seed(rank)
    rows = torch.randn(rank, 500, generator=generator, dtype=torch.float64)
    matrix = rows.T @ rows
    values, vectors = leading_eigenpairs(matrix, 40)
    torch.testing.assert_close(values, torch.linalg.eigvalsh(matrix).flip(0)[:40], rtol=1e-9, atol=1e-7)
    torch.testing.assert_close(matrix @ vectors, vectors * values, rtol=1e-7, atol=1e-6)


def test_the_forecast_of_data_of_few_directions_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vae_lightning.theory.moments.MOST_PIXELS", 10)
    monkeypatch.setattr("vae_lightning.theory.moments.FEW_IMAGES", 10)
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(100, 3, generator=generator) @ torch.randn(3, 90, generator=generator)
    data = Images(values.reshape(100, 1, 9, 10), torch.zeros(100, dtype=torch.long))
    found = forecast(pixel_moments(data, "none"), GaussianLikelihood(variance=1.0, mean="identity"), 8)
    assert found is not None
    expected = torch.linalg.eigvalsh(values.double().T.cov(correction=0)).flip(0)
    torch.testing.assert_close(found.critical_weights[:3], expected[:3], rtol=1e-4, atol=1e-5)
    assert found.critical_weights[3:].abs().max() == 0


@pytest.mark.parametrize("latent_dim", [8, 120])
def test_directions_that_are_hard_to_tell_apart_are_not_taken_for_nothing(
    latent_dim: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise, whose leading eigenvalues lie close together; and more units than pixels."""
    monkeypatch.setattr("vae_lightning.theory.moments.MOST_PIXELS", 10)
    monkeypatch.setattr("vae_lightning.theory.moments.FEW_IMAGES", 10)
    monkeypatch.setattr("vae_lightning.theory.eigenvalues.MOST_RESTARTS", 1)
    values = torch.randn(800, 100, generator=torch.Generator().manual_seed(1))
    data = Images(values.reshape(800, 1, 10, 10), torch.zeros(800, dtype=torch.long))
    found = forecast(pixel_moments(data, "none"), GaussianLikelihood(variance=1.0, mean="identity"), latent_dim)
    assert found is not None
    expected = torch.linalg.eigvalsh(values.double().T.cov(correction=0)).flip(0)
    torch.testing.assert_close(found.critical_weights, expected[: max(20, min(latent_dim, 99))], rtol=1e-4, atol=1e-5)
