"""The negative binomial: torch's density, its moments, its derivatives, its limits, and the dispersion it finds."""

import copy
import math

import pytest
import torch
from torch import Tensor
from torch.distributions import NegativeBinomial, Poisson
from torch.nn.functional import softplus

from vae_lightning.distributions import NegativeBinomialLikelihood

GENERATOR = torch.Generator().manual_seed(0)
COUNTS = torch.poisson(torch.full((4, 1, 3, 3), 6.0, dtype=torch.float64), generator=GENERATOR)
LOG_MEANS = torch.randn(3, 4, 1, 3, 3, generator=GENERATOR, dtype=torch.float64) * 3
PIXEL_DIMS = (-3, -2, -1)


def of_dispersion(dispersion: float) -> NegativeBinomialLikelihood:
    likelihood = NegativeBinomialLikelihood(initial_dispersion=dispersion).double()
    with torch.no_grad():
        likelihood.log_dispersion.fill_(math.log(dispersion))  # in all 64 bits
    return likelihood


def images_of(counts: Tensor) -> Tensor:
    return counts.reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("dispersion", [0.05, 1.0, 40.0])
def test_it_equals_torch_distributions(dispersion: float) -> None:
    reference = NegativeBinomial(dispersion, logits=LOG_MEANS - math.log(dispersion))
    likelihood = of_dispersion(dispersion)
    found = likelihood.log_prob(COUNTS, LOG_MEANS)
    assert found.shape == (3, 4)
    torch.testing.assert_close(found, reference.log_prob(COUNTS).sum(PIXEL_DIMS))
    torch.testing.assert_close(likelihood.mean(LOG_MEANS), reference.mean)


@torch.no_grad()
@pytest.mark.parametrize(("log_mean", "dispersion"), [(-3.0, 0.5), (0.4, 0.5), (2.0, 3.0)])
def test_it_sums_to_one_with_the_mean_and_variance_it_is_named_by(log_mean: float, dispersion: float) -> None:
    x = torch.arange(2_000, dtype=torch.float64)
    p = of_dispersion(dispersion).log_prob(images_of(x), torch.full((2_000, 1, 1, 1), log_mean)).exp()
    mu = math.exp(log_mean)
    assert float(p.sum()) == pytest.approx(1, abs=1e-6)
    assert float((p * x).sum()) == pytest.approx(mu, rel=1e-5)
    assert float((p * (x - mu).square()).sum()) == pytest.approx(mu + mu**2 / dispersion, rel=1e-5)


@torch.no_grad()
def test_samples_have_its_moments_and_are_its_own() -> None:
    likelihood, n, dispersion = of_dispersion(2.0), 100_000, 2.0
    values = torch.full((n, 1, 1, 1), 1.2, dtype=torch.float64)
    drawn = likelihood.sample(values, torch.Generator().manual_seed(1))
    assert torch.equal(drawn, drawn.round())
    assert torch.equal(drawn, likelihood.sample(values, torch.Generator().manual_seed(1)))
    mu = math.exp(1.2)
    assert abs(float(drawn.mean()) - mu) < 4 * float(drawn.std()) / math.sqrt(n)
    squares = (drawn - mu).square()
    assert abs(float(squares.mean()) - mu - mu**2 / dispersion) < 4 * float(squares.std()) / math.sqrt(n)
    # And all of the distribution: the shares of the first counts.
    for count in range(4):
        p = float(likelihood.log_prob(torch.full((1, 1, 1, 1), float(count)), values[:1]).exp())
        assert abs(float((drawn == count).double().mean()) - p) < 4 * math.sqrt(p * (1 - p) / n)


def test_its_score_and_curvature_are_those_of_the_formulas_in_the_mean() -> None:
    dispersion, mu = 0.7, LOG_MEANS.exp()
    score, curvature = of_dispersion(dispersion).score_and_curvature(COUNTS, LOG_MEANS)
    torch.testing.assert_close(score, (COUNTS - mu) * dispersion / (dispersion + mu))
    torch.testing.assert_close(curvature, dispersion * mu * (dispersion + COUNTS) / (dispersion + mu).square())


def test_its_score_and_curvature_are_the_derivatives_of_the_log_density() -> None:
    likelihood, values = of_dispersion(0.7), LOG_MEANS[0].clone().requires_grad_()
    (first,) = torch.autograd.grad(likelihood.log_prob(COUNTS, values).sum(), values, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), values)
    score, curvature = likelihood.score_and_curvature(COUNTS, values)
    torch.testing.assert_close(score, first)
    torch.testing.assert_close(curvature, -second)


@pytest.mark.parametrize("dispersion", [1e-4, 1.0, 1e6])
def test_extreme_values_stay_finite_and_exact_in_32_bits(dispersion: float) -> None:
    """Where the logarithms of Gamma functions are millions and their difference is a few nats.

    Exact means to the rounding of the result and of x ln p and r ln(1 - p): as a Poisson is.
    """
    log_means = torch.tensor([-30.0, -1.0, 0.0, 9.2, 30.0])
    counts = torch.tensor([0.0, 1.0, 5.0, 10_000.0])
    values = images_of(log_means.repeat(4)).requires_grad_()
    pixels = images_of(counts.repeat_interleave(5))
    likelihood = NegativeBinomialLikelihood(initial_dispersion=dispersion)
    found = likelihood.log_prob(pixels, values)
    with torch.no_grad():
        exact = copy.deepcopy(likelihood).double()
        expected = exact.log_prob(pixels.double(), values.double())
        logit = (values.double() - exact.log_dispersion).flatten()
        terms = pixels.flatten() * softplus(-logit) + exact.log_dispersion.exp() * softplus(logit)
        assert ((found - expected).abs() <= 2 * torch.finfo(torch.float32).eps * (1 + terms + expected.abs())).all()
    found.sum().backward()
    for gradient in (values.grad, likelihood.log_dispersion.grad):
        assert gradient is not None
        assert gradient.isfinite().all()
    assert all(part.isfinite().all() for part in likelihood.score_and_curvature(pixels, values.detach()))


def test_of_a_large_dispersion_it_is_poissons() -> None:
    expected = Poisson(LOG_MEANS.exp()).log_prob(COUNTS).sum(PIXEL_DIMS)
    torch.testing.assert_close(of_dispersion(1e9).log_prob(COUNTS, LOG_MEANS), expected, rtol=1e-4, atol=1e-4)


def test_sixteen_bit_values_are_summed_in_thirty_two() -> None:
    likelihood, values = NegativeBinomialLikelihood(initial_dispersion=0.7), LOG_MEANS.bfloat16()
    found = likelihood.log_prob(COUNTS.float(), values)
    assert found.dtype is torch.float32
    torch.testing.assert_close(found, likelihood.log_prob(COUNTS.float(), values.float()))


def test_the_encoder_is_shown_the_logarithm_of_one_more() -> None:
    torch.testing.assert_close(of_dispersion(1.0).seen_by_encoder(COUNTS).expm1(), COUNTS)


def test_a_fit_finds_the_dispersion_of_the_data() -> None:
    values = torch.full((20_000, 1, 1, 1), 1.5)
    data = of_dispersion(3.0).sample(values, torch.Generator().manual_seed(4)).float()
    likelihood = NegativeBinomialLikelihood(initial_dispersion=0.3)
    optimizer = torch.optim.Adam(likelihood.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        (-likelihood.log_prob(data, values).mean()).backward()
        optimizer.step()
    assert float(likelihood.log_dispersion.detach().exp()) == pytest.approx(3.0, rel=0.1)
