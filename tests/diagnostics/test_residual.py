"""The residual test: its spectrum and error bar against residuals of known covariance."""

import math

import pytest
import torch
from torch import Tensor

from vae_lightning.diagnostics import ResidualMoments, ResidualRows, verdict


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def residual_of(
    n: int, batches: int, noise_in_mean: float = 0.5, n_samples: int = 2
) -> tuple[ResidualMoments, Tensor, Tensor]:
    """Residuals of known covariance; the decoder's samples scatter around their mean over q."""
    scales = torch.tensor([2.0, 1.0, 0.5, 0.1])
    residual = torch.randn(n, 4, generator=generator(11)) * scales + 0.3  # with a mean, which is no covariance
    truth = torch.randn(n, 4, generator=generator(12))
    samples = truth + noise_in_mean * torch.randn(n_samples, n, 4, generator=generator(13))
    metric = ResidualMoments(4)
    for rows in torch.arange(n).tensor_split(batches):
        pixels = (truth + residual)[rows].reshape(-1, 1, 2, 2)
        means = samples[:, rows].reshape(n_samples, -1, 1, 2, 2)
        metric.update(rows, pixels - means, torch.full_like(means, 0.5))
    return metric, residual, scales


def test_the_residual_spectrum_is_free_of_the_scatter_of_the_samples() -> None:
    metric, residual, scales = residual_of(40_000, 7)
    found = metric.compute()
    torch.testing.assert_close(found.eigenvalues.float(), scales.square() / 0.5, rtol=0.03, atol=0.02)
    assert abs(found.largest - 8.0) < 4 * found.error
    assert found.error < 0.2
    plain = torch.linalg.eigvalsh(residual.T.cov(correction=0)).flip(0) / 0.5
    torch.testing.assert_close(found.eigenvalues.float(), plain, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("n_samples", [2, 3, 7])
def test_the_products_are_those_of_all_pairs_of_different_samples(n_samples: int) -> None:
    samples = torch.randn(n_samples, 5, 4, generator=generator(3))
    metric = ResidualMoments(4)
    metric.update(torch.arange(5), samples.reshape(n_samples, 5, 1, 2, 2), torch.ones(n_samples, 5, 1, 2, 2))
    pairs = [(one, other) for one in range(n_samples) for other in range(n_samples) if one != other]
    expected = sum(samples[one].T.double() @ samples[other].double() for one, other in pairs) / len(pairs)
    torch.testing.assert_close(metric.products.sum(0), expected, rtol=1e-5, atol=1e-6)


def test_the_residual_does_not_depend_on_the_batches() -> None:
    one, many = residual_of(1000, 1)[0].compute(), residual_of(1000, 37)[0].compute()
    torch.testing.assert_close(one.eigenvalues, many.eigenvalues, rtol=1e-5, atol=1e-6)
    assert (one.largest, one.error) == pytest.approx((many.largest, many.error), rel=1e-4)


def residual_metric(residual: Tensor, pixel_variance: float = 1.0) -> ResidualMoments:
    """Residuals of a model whose decoder does not scatter."""
    n, n_pixels = residual.shape
    metric = ResidualMoments(n_pixels)
    scores = residual.reshape(n, 1, 1, -1).expand(2, -1, -1, -1, -1)
    metric.update(torch.arange(n), scores, torch.full_like(scores, pixel_variance))
    return metric


@pytest.mark.parametrize("mean", [0.0, 10.0])
@pytest.mark.parametrize(("spike", "n"), [(1.0, 300), (6.0, 1000)])
def test_the_error_of_the_largest_eigenvalue_is_honest(spike: float, n: int, mean: float) -> None:
    """Pure noise, whose largest eigenvalue in sample is far above 1, and one true direction above noise; 40 draws
    each."""
    deviations = torch.ones(50)
    deviations[0] = spike**0.5
    shift = mean * torch.nn.functional.normalize(torch.ones(50), dim=0)
    found = [
        residual_metric(torch.randn(n, 50, generator=generator(100 + draw)) * deviations + shift).compute()
        for draw in range(40)
    ]
    outside = [abs(one.largest - spike) > 2 * one.error for one in found]
    assert sum(outside) <= 8  # 2 of 40 are expected; 9 or more have a chance below 1 in 1,000
    assert sum(float(one.eigenvalues[0]) for one in found) / 40 > spike  # chosen on the images it is told of
    words = [verdict(0, 3, one, 0.9 * spike).word for one in found]
    assert words.count("pruned") == 0  # a direction that pays is never called rightly dead


def test_too_few_images_say_so() -> None:
    for n in (1, 5, 15):
        found = residual_metric(torch.randn(n, 20, generator=generator(14))).compute()
        assert math.isinf(found.error)
        assert verdict(2, 3, found, 1.0).word == "undecided"


def test_mixed_precision_changes_nothing() -> None:
    plain = residual_of(400, 1)[0].compute()  # whose samples scatter
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = residual_of(400, 1)[0].compute()
    assert (mixed.largest, mixed.error) == (plain.largest, plain.error)


def test_one_image_with_a_pixel_that_no_other_shows_pays_for_no_unit() -> None:
    n = 1000
    residual = 0.3 * torch.randn(n, 4, generator=generator(15))
    residual[:, 3] = 0.0
    residual[17, 3] = 1.0
    variances = torch.tensor([0.25, 0.25, 0.25, 1e-6]).reshape(1, 2, 2).expand(2, n, 1, 2, 2)
    metric = ResidualMoments(4)
    metric.update(torch.arange(n), residual.reshape(1, n, 1, 2, 2).expand(2, -1, -1, -1, -1), variances)
    assert metric.compute().largest < 0.5


@pytest.mark.parametrize("batches", [1, 7])
def test_residuals_that_are_kept_tell_what_their_products_tell(batches: int) -> None:
    """More images than pixels, and more pixels than images: their span is smaller than either."""
    for n, n_pixels in ((600, 40), (100, 500)):
        shared = torch.randn(n, 3, generator=generator(1)) @ torch.randn(3, n_pixels, generator=generator(2))
        scores = shared + 0.5 * torch.randn(2, n, n_pixels, generator=generator(3)) + 0.2
        curvatures = torch.rand(n_pixels, generator=generator(4)).add(0.5).expand(2, n, -1)
        found = []
        for metric in (ResidualMoments(n_pixels), ResidualRows(n_pixels)):
            for rows in torch.arange(n).tensor_split(batches):
                metric.update(
                    rows, *(values[:, rows].reshape(2, -1, 1, 1, n_pixels) for values in (scores, curvatures))
                )
            found.append(metric.compute())
        products, kept = found
        torch.testing.assert_close(kept.eigenvalues[:3], products.eigenvalues[:3], rtol=1e-4, atol=1e-5)
        assert (kept.largest, kept.error) == pytest.approx((products.largest, products.error), rel=1e-3)
        torch.testing.assert_close(kept.pixel_variance, products.pixel_variance)
