"""The forecast: eigenvalues against known spectra, and the stability argument against the loss itself."""

import math

import pytest
import torch

from vae_lightning.data import Images, linear_gaussian
from vae_lightning.distributions import (
    BernoulliLikelihood,
    ContinuousBernoulliLikelihood,
    GaussianLearnedLikelihood,
    GaussianLikelihood,
    Likelihood,
    LocationScale,
    gaussian_noise,
)
from vae_lightning.theory import (
    bernoulli_conventions,
    forecast,
    gaussian_conventions,
    learned_variance,
    linear_vae,
    pixel_moments,
)
from vae_lightning.theory.eigenvalues import leading_eigenpairs

SPECTRUM = [4.0, 2.0, 1.0, 0.3, 0.1]


def grey_images() -> Images:
    """Correlated grey pixels, one of which never varies."""
    generator = torch.Generator().manual_seed(0)
    factors = torch.randn(4000, 2, generator=generator) @ torch.randn(2, 6, generator=generator)
    pixels = torch.sigmoid(factors + 0.3 * torch.randn(4000, 6, generator=generator))
    pixels[:, 5] = 0
    return Images((pixels * 255).round().to(torch.uint8).reshape(-1, 1, 2, 3), torch.zeros(4000, dtype=torch.long))


def test_moments_are_numpys_whatever_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    images = grey_images()
    values = images.pixels.flatten(1).double() / 255
    monkeypatch.setattr("vae_lightning.theory.moments.IMAGES_AT_ONCE", 1234)
    found = pixel_moments(images, "none")
    torch.testing.assert_close(found.mean, values.mean(0), atol=1e-6, rtol=0)
    torch.testing.assert_close(found.covariance, values.T.cov(correction=0), atol=1e-6, rtol=1e-5)


def test_dynamic_binarisation_adds_each_pixels_own_noise() -> None:
    images = grey_images()
    found = pixel_moments(images, "dynamic")
    values = (images.pixels.flatten(1).double() / 255).repeat(50, 1)
    drawn = torch.bernoulli(values, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(found.covariance, drawn.T.cov(correction=0), atol=5e-3, rtol=0)
    binary = Images((drawn.reshape(-1, 1, 2, 3) * 255).to(torch.uint8), torch.zeros(len(drawn), dtype=torch.long))
    of_binary = pixel_moments(binary, "static").covariance
    torch.testing.assert_close(of_binary, drawn.T.cov(correction=0), atol=1e-6, rtol=1e-5)


def test_gaussian_is_the_linear_solution_at_every_weight() -> None:
    moments = pixel_moments(linear_gaussian(spectrum=SPECTRUM, n_training=500, n_test=10, data_seed=0).training, "none")
    found = forecast(moments, GaussianLikelihood(variance=0.5, mean="identity"), 3)
    torch.testing.assert_close(found.critical_weights, torch.tensor(SPECTRUM).double() / 0.5, rtol=1e-5, atol=1e-6)
    for kl_weight in (0.1, 1.0, 1.9, 2.1, 5.0, 9.0):
        solution = linear_vae(torch.tensor(SPECTRUM).double(), 3, kl_weight, 0.5)
        assert found.active_units(kl_weight) == solution.active_units
        torch.testing.assert_close(found.kl_per_unit(kl_weight), solution.kl_per_unit, rtol=1e-5, atol=1e-6)
    assert found.kl_per_unit(0.0) is None
    assert found.active_units(0.0) == 3


def test_a_learned_variance_has_its_own_thresholds() -> None:
    moments = pixel_moments(linear_gaussian(spectrum=SPECTRUM, n_training=500, n_test=10, data_seed=0).training, "none")
    likelihood = GaussianLearnedLikelihood(initial_variance=1.0, min_log_sigma=-6.0, mean="identity")
    found = forecast(moments, likelihood, 3)
    for kl_weight in (0.5, 1.0, 2.0, 4.0):
        variance = learned_variance(torch.tensor(SPECTRUM).double(), 3, kl_weight)
        assert found.variance_at(kl_weight) == pytest.approx(variance, rel=1e-5)
        assert found.active_units(kl_weight) == linear_vae(torch.tensor(SPECTRUM), 3, kl_weight, variance).active_units


def test_directions_that_are_mere_rounding_do_not_live() -> None:
    spectrum = [4.0, 2.0, 1.0, *[0.0] * 17]
    moments = pixel_moments(linear_gaussian(spectrum=spectrum, n_training=500, n_test=10, data_seed=0).training, "none")
    likelihood = GaussianLearnedLikelihood(initial_variance=1.0, min_log_sigma=-6.0, mean="identity")
    found = forecast(moments, likelihood, 10)
    assert found.active_units(1.0) == 3
    assert found.variance_at(1.0) == pytest.approx(math.exp(-12))  # sigma would fall without end but for its bound
    bounded = GaussianLearnedLikelihood(initial_variance=2.0, min_log_sigma=0.0, mean="identity")
    torch.testing.assert_close(
        forecast(moments, bounded, 3).critical_weights[:3], torch.tensor([4.0, 2.0, 1.0]).double(), rtol=1e-5, atol=0
    )  # sigma^2 stays at 1


def test_bernoulli_pixels_are_compared_by_their_correlations() -> None:
    images = grey_images()
    values = images.pixels.flatten(1)[:, :5].double() / 255
    binary = torch.bernoulli(values, generator=torch.Generator().manual_seed(2))
    pixels = torch.cat([binary, torch.zeros(4000, 1)], dim=1).reshape(-1, 1, 2, 3)
    drawn = Images((pixels * 255).to(torch.uint8), images.labels)
    found = forecast(pixel_moments(drawn, "static"), BernoulliLikelihood(), 3)
    torch.testing.assert_close(
        found.critical_weights, torch.linalg.eigvalsh(binary.T.corrcoef()).flip(0), atol=0, rtol=1e-5
    )
    assert found.kl_per_unit(0.1) is None


def test_a_pixel_that_varies_by_rounding_alone_changes_no_other() -> None:
    moments = pixel_moments(grey_images(), "none")
    expected = forecast(moments, ContinuousBernoulliLikelihood(), 2)
    assert expected is not None
    assert moments.variance[5] == 0
    mean, covariance = moments.mean.clone(), moments.covariance.clone()
    mean[5], covariance[5, 5] = 0.3, 1e-34
    found = forecast(moments._replace(mean=mean, covariance=covariance), ContinuousBernoulliLikelihood(), 2)
    assert found is not None
    torch.testing.assert_close(found.critical_weights[:5], expected.critical_weights[:5])


def quadrature() -> tuple[torch.Tensor, torch.Tensor]:
    """Gauss-Hermite nodes and weights for expectations under N(0, 1)."""
    import numpy as np

    nodes, weights = np.polynomial.hermite_e.hermegauss(30)
    return torch.from_numpy(nodes), torch.from_numpy(weights / weights.sum())


@pytest.mark.parametrize("name", ["gaussian", "bernoulli", "continuous_bernoulli"])
def test_the_collapsed_state_is_stable_above_the_critical_weight_and_not_below(name: str) -> None:
    """The derivation tried on the loss itself, with grey pixels and no expansion anywhere."""
    images = grey_images()
    images = Images(images.pixels.flatten(2)[..., :5].reshape(-1, 1, 1, 5), images.labels)
    likelihood = {
        "gaussian": GaussianLikelihood(variance=0.2, mean="identity"),
        "bernoulli": BernoulliLikelihood(),
        "continuous_bernoulli": ContinuousBernoulliLikelihood(),
    }[name]
    moments = pixel_moments(images, "none")
    found = forecast(moments, likelihood, 2)
    mean = moments.mean.reshape(1, 1, 5)
    eta = torch.zeros_like(mean).requires_grad_()
    optimizer = torch.optim.LBFGS([eta], max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = -likelihood.log_prob(mean.unsqueeze(0), eta.unsqueeze(0)).sum()
        value.backward()
        return value

    optimizer.step(loss)
    eta = eta.detach()
    scale = likelihood.score_and_curvature(moments.mean, eta.flatten())[1].rsqrt()
    values, vectors = torch.linalg.eigh(scale.unsqueeze(1) * moments.covariance * scale)
    generator = torch.Generator().manual_seed(3)
    for rank in (1, 2):  # the two largest eigenvalues
        critical = float(values[-rank])
        assert critical == pytest.approx(float(found.critical_weights[rank - 1]), rel=1e-5)
        # In a Gaussian's mean a step of u in eta is a step of sigma^2 u; its decoder's values are means.
        direction = 0.01 * vectors[:, -rank] * scale * (0.2 if name == "gaussian" else 1)
        value_scale = 0.2 if name == "gaussian" else 1
        for factor, lives in ((0.97, True), (1.03, False)):
            weight = critical * factor
            found_gain = gain(images, likelihood, direction, eta, weight, value_scale)
            assert (found_gain > 0) == lives, (rank, factor, found_gain)
    for _ in range(20):  # above the largest no direction at all pays
        direction = torch.randn(5, generator=generator, dtype=torch.float64) * 0.01
        assert gain(images, likelihood, direction, eta, float(values[-1]) * 1.03, value_scale) < 0


def gain(
    images: Images,
    likelihood: Likelihood,
    direction: torch.Tensor,
    eta: torch.Tensor,
    kl_weight: float,
    value_scale: float,
) -> float:
    """What the weighted ELBO gains by one unit that adds a direction to the decoder's values, by its own terms.

    The natural parameter is the value / ``value_scale``.
    """
    x = images.pixels.double() / 255
    centred = (x - x.mean(0)).flatten(1)
    mean = (centred @ direction / (kl_weight * value_scale)).unsqueeze(1)
    spread = float((likelihood.score_and_curvature(eta, eta)[1].flatten() * (direction / value_scale).square()).sum())
    log_variance = torch.full_like(mean, kl_weight / (kl_weight + spread)).log()  # the best s
    posterior = LocationScale(mean, log_variance, gaussian_noise())
    nodes, weights = quadrature()
    codes = posterior.sample(nodes.reshape(-1, 1, 1).expand(-1, len(x), 1))
    log_px = torch.stack([likelihood.log_prob(x, eta + (z * direction).unflatten(1, x.shape[1:])) for z in codes])
    plain = likelihood.log_prob(x, eta.expand_as(x))
    return float((weights @ log_px - plain).mean() - kl_weight * posterior.kl_per_unit().sum(1).mean())


def test_conventions_are_multiples_of_one_loss() -> None:
    x, xh = torch.rand(2, 50, 784, generator=torch.Generator().manual_seed(4))
    kl = torch.rand(50, 7, generator=torch.Generator().manual_seed(5))
    kl_weight, variance = 3.0, 0.7
    ours = float(((x - xh).square().sum(1) / (2 * variance) + kl_weight * kl.sum(1)).mean())
    error = (x - xh).square()
    elsewhere = [
        (lambda w: error.sum(1).mean() + w * kl.sum(1).mean(), 2 * variance),
        (lambda w: 0.5 * error.sum(1).mean() + w * kl.sum(1).mean(), variance),
        (lambda w: error.mean() + w * kl.sum(1).mean(), 2 * variance / 784),
        (lambda w: error.mean() + w * kl.mean(), 2 * variance / 784),
    ]
    conventions = gaussian_conventions(kl_weight, variance, 784, 7)
    for convention, (loss, factor) in zip(conventions, elsewhere, strict=True):
        assert float(loss(convention.weight)) == pytest.approx(factor * ours, rel=1e-5), convention.loss
    by_hand = gaussian_conventions(1.0, 392.0, 784, 2)
    assert by_hand[2].weight == pytest.approx(1)  # a mean squared error at w = 1

    bce = torch.nn.functional.binary_cross_entropy(xh, x, reduction="none")
    ours = float((bce.sum(1) + kl_weight * kl.sum(1)).mean())
    per_pixel = bernoulli_conventions(kl_weight, 784, 7)
    assert float(bce.sum(1).mean() + per_pixel[0].weight * kl.sum(1).mean()) == pytest.approx(ours)
    assert float(bce.mean() + per_pixel[1].weight * kl.sum(1).mean()) * 784 == pytest.approx(ours, rel=1e-5)
    assert float(bce.mean() + per_pixel[2].weight * kl.mean()) * 784 == pytest.approx(ours, rel=1e-5)


@pytest.mark.parametrize("size", [5, 30, 200])
@pytest.mark.parametrize("n", [1, 10])
def test_the_leading_eigenpairs_are_those_of_all(size: int, n: int) -> None:
    draw = torch.randn(size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matrix = draw @ draw.T / size
    values, vectors = leading_eigenpairs(matrix, n)
    every = torch.linalg.eigh(matrix)
    assert torch.allclose(values, every.eigenvalues.flip(0)[:n], rtol=1e-10)
    assert torch.allclose(matrix @ vectors, vectors * values, atol=1e-9)
    assert torch.allclose(vectors.T @ vectors, torch.eye(len(values), dtype=torch.float64), atol=1e-10)
    assert torch.equal(values, leading_eigenpairs(matrix, n)[0])


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_matrix_of_one_eigenvalue_has_it_throughout(value: float) -> None:
    values, _ = leading_eigenpairs(value * torch.eye(300, dtype=torch.float64), 10)
    assert values.tolist() == pytest.approx([value] * 10, abs=1e-12)
