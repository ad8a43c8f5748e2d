"""The residual test: its spectrum and error bar against residuals of known covariance."""

import math

import pytest
import torch
from torch import Tensor

from vae_lightning.diagnostics import ResidualRows, Residuals, ResidualSpectrum, evidence, residual_spectrum, verdict
from vae_lightning.diagnostics.residual import Whitening


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def residual_of(
    n: int, batches: int, noise_in_mean: float = 0.5, n_samples: int = 2
) -> tuple[ResidualSpectrum, Tensor, Tensor]:
    """Residuals of known covariance; the decoder's samples scatter around their mean over q."""
    scales = torch.tensor([2.0, 1.0, 0.5, 0.1])
    residual = torch.randn(n, 4, generator=generator(11)) * scales + 0.3  # with a mean, which is no covariance
    truth = torch.randn(n, 4, generator=generator(12))
    samples = truth + noise_in_mean * torch.randn(n_samples, n, 4, generator=generator(13))
    metric = ResidualRows(4, 1, n)
    for rows in torch.arange(n).tensor_split(batches):
        pixels = (truth + residual)[rows].reshape(-1, 1, 2, 2)
        means = samples[:, rows].reshape(n_samples, -1, 1, 2, 2)
        metric.update(rows, pixels - means, torch.full_like(means, 0.5))
    return residual_spectrum(metric.compute()), residual, scales


def test_the_residual_spectrum_is_free_of_the_scatter_of_the_samples() -> None:
    found, residual, scales = residual_of(10_000, 7)
    torch.testing.assert_close(found.eigenvalues.float(), scales.square() / 0.5, rtol=0.03, atol=0.02)
    assert abs(found.largest - 8.0) < 4 * found.error
    assert found.error < 0.2
    plain = torch.linalg.eigvalsh(residual.T.cov(correction=0)).flip(0) / 0.5
    torch.testing.assert_close(found.eigenvalues.float(), plain, rtol=0.02, atol=0.02)


def test_the_residual_does_not_depend_on_the_batches() -> None:
    one, many = residual_of(1000, 1)[0], residual_of(1000, 37)[0]
    torch.testing.assert_close(one.eigenvalues, many.eigenvalues, rtol=1e-5, atol=1e-6)
    assert (one.largest, one.error) == pytest.approx((many.largest, many.error), rel=1e-4)


def residuals_of(residual: Tensor, pixel_variance: float = 1.0) -> Residuals:
    """Residuals of a model whose decoder does not scatter."""
    n, n_pixels = residual.shape
    metric = ResidualRows(n_pixels, 1, n)
    scores = residual.reshape(n, 1, 1, -1).expand(2, -1, -1, -1, -1)
    metric.update(torch.arange(n), scores, torch.full_like(scores, pixel_variance))
    return metric.compute()


def word_of(residuals: Residuals, kl_weight: float, living: int = 0) -> str:
    """Return the verdict on a model of three units with these residuals, the first ``living`` of which live."""
    codes = torch.randn(len(residuals.one), 3, generator=generator(16))
    lives = torch.arange(3) < living
    means = codes * lives
    about = {"written": lives, "read": lives, "price": kl_weight, "n_regions": (1,)}
    return verdict(evidence(residuals, means, codes, torch.zeros(3), **about)).word


@pytest.mark.parametrize("mean", [0.0, 10.0])
@pytest.mark.parametrize(("spike", "n"), [(1.0, 300), (6.0, 1000)])
def test_the_error_of_the_largest_eigenvalue_is_honest(spike: float, n: int, mean: float) -> None:
    """Pure noise, whose largest eigenvalue in sample is far above 1, and one true direction above noise; 40 draws
    each."""
    deviations = torch.ones(50)
    deviations[0] = spike**0.5
    shift = mean * torch.nn.functional.normalize(torch.ones(50), dim=0)
    found = [
        residuals_of(torch.randn(n, 50, generator=generator(100 + draw)) * deviations + shift) for draw in range(40)
    ]
    every, found = found, [residual_spectrum(one) for one in found]
    outside = [abs(one.largest - spike) > 2 * one.error for one in found]
    assert sum(outside) <= 8  # 2 of 40 are expected; 9 or more have a chance below 1 in 1,000
    assert sum(float(one.eigenvalues[0]) for one in found) / 40 > spike  # chosen on the images it is told of
    # At a quarter of it a unit would earn w/2 (4 - 1 - ln 4), 0.2 nats or more: it is never called rightly dead.
    words = [word_of(one, 0.25 * spike) for one in every]
    assert words.count("pruned") == 0
    assert words.count("collapsed") + words.count("undecided") == len(words)


def test_too_few_images_say_so() -> None:
    for n in (1, 5, 15):
        found = residuals_of(torch.randn(n, 20, generator=generator(14)))
        assert math.isinf(residual_spectrum(found).error)
        assert word_of(found, 1.0, living=2) == "undecided"


def test_mixed_precision_changes_nothing() -> None:
    plain = residual_of(400, 1)[0]  # whose samples scatter
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = residual_of(400, 1)[0]
    assert (mixed.largest, mixed.error) == (plain.largest, plain.error)


def test_one_image_with_a_pixel_that_no_other_shows_pays_for_no_unit() -> None:
    n = 1000
    residual = 0.3 * torch.randn(n, 4, generator=generator(15))
    residual[:, 3] = 0.0
    residual[17, 3] = 1.0
    variances = torch.tensor([0.25, 0.25, 0.25, 1e-6]).reshape(1, 2, 2).expand(2, n, 1, 2, 2)
    metric = ResidualRows(4, 1, n)
    metric.update(torch.arange(n), residual.reshape(1, n, 1, 2, 2).expand(2, -1, -1, -1, -1), variances)
    assert residual_spectrum(metric.compute()).largest < 0.5


@pytest.mark.parametrize(("n", "n_pixels"), [(600, 40), (100, 500)])
def test_many_values_tell_in_a_basis_what_few_tell_without(
    n: int, n_pixels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More images than pixels, and more pixels than images: their span is smaller than either."""
    shared = torch.randn(n, 3, generator=generator(1)) @ torch.randn(3, n_pixels, generator=generator(2))
    residuals = residuals_of(shared + 0.5 * torch.randn(n, n_pixels, generator=generator(3)) + 0.2)
    plain = residual_spectrum(residuals)
    monkeypatch.setattr("vae_lightning.diagnostics.residual.MOST_PIXELS", 10)
    in_a_basis = residual_spectrum(residuals)
    torch.testing.assert_close(in_a_basis.eigenvalues[:3], plain.eigenvalues[:3], rtol=1e-4, atol=1e-5)
    assert (in_a_basis.largest, in_a_basis.error) == pytest.approx((plain.largest, plain.error), rel=1e-3)


@pytest.mark.parametrize("v", [1, 2])
def test_a_change_with_scores_and_no_curvature_is_not_judged(v: int) -> None:
    """To second order it would pay at any weight; one without scores is a gauge, and left out."""
    scores = torch.randn(1, 400, v, 1, 3, generator=generator(4))
    scores[:, :, v - 1, :, 0] = 0
    scores = scores.expand(2, -1, -1, -1, -1)
    blocks = torch.eye(v).reshape(v, 1, v, 1, 1).repeat(1, 400, 1, 1, 3)
    for pixel, judged in ((0, True), (1, False)):
        blocks[v - 1, :, v - 1, :, pixel] = -1.0
        metric = ResidualRows(3, v, 400)
        shown = blocks.squeeze(0) if v == 1 else blocks
        metric.update(torch.arange(400), scores, shown.expand(2, *shown.shape))
        found = residual_spectrum(metric.compute())
        assert found.unpriced == (0 if judged else 1)
        assert 0 < found.largest < 2  # of what is priced


def test_residuals_of_several_values_a_pixel_are_whitened_by_their_blocks() -> None:
    """A change of basis within a pixel's values changes no eigenvalue; and J = I leaves the scores as they are."""
    scores = torch.randn(2, 400, 2, 1, 3, generator=generator(4))
    mix = torch.tensor([[1.0, 0.7], [-0.4, 2.0]])
    found = []
    for basis in (torch.eye(2), mix):
        metric = ResidualRows(3, 2, 400)
        moved = torch.einsum("vw,lnwij->lnvij", basis, scores)
        blocks = (basis @ basis.T).reshape(2, 1, 2, 1, 1).expand(2, 400, 2, 1, 3)
        metric.update(torch.arange(400), moved, blocks.expand(2, -1, -1, -1, -1, -1))
        found.append(residual_spectrum(metric.compute()))
    whitening = Whitening.of((mix @ mix.T).unsqueeze(2).expand(-1, -1, 3), 400)
    rows, direction = torch.randn(5, 6, generator=generator(5)), torch.randn(6, generator=generator(6))
    torch.testing.assert_close(rows @ whitening.back(direction), whitening.of_rows(rows) @ direction)
    one, other = found
    torch.testing.assert_close(one.eigenvalues, other.eigenvalues, rtol=1e-4, atol=1e-5)
    assert other.largest == pytest.approx(one.largest, rel=1e-3)
    rows = scores.mean(0).flatten(1).double()
    assert float(one.eigenvalues[0]) < float(torch.linalg.eigvalsh(rows.T.cov()).max())  # free of the codes' scatter
