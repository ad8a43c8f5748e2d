"""Every likelihood: it sums or integrates to one, and its mean, variance and samples are those of its density."""

import math

import pytest
import scipy.stats
import torch
from torch.distributions import Bernoulli, ContinuousBernoulli, Normal

from vae_lightning.distributions import (
    BernoulliLikelihood,
    ContinuousBernoulliLikelihood,
    DiscretizedLogisticLikelihood,
    GaussianLearnedLikelihood,
    GaussianLikelihood,
    GaussianOptimalLikelihood,
    GaussianPerPixelLikelihood,
    Likelihood,
)

GENERATOR = torch.Generator().manual_seed(0)
PIXELS = torch.rand(4, 1, 5, 5, generator=GENERATOR, dtype=torch.float64)
VALUES = torch.randn(3, 4, 1, 5, 5, generator=GENERATOR, dtype=torch.float64) * 4
GREY = torch.arange(256, dtype=torch.float64) / 255


def learned() -> GaussianLearnedLikelihood:
    return GaussianLearnedLikelihood(initial_variance=0.3, min_log_sigma=-6.0, mean="identity").double()


def optimal() -> GaussianOptimalLikelihood:
    likelihood = GaussianOptimalLikelihood(min_log_sigma=-6.0, mean="sigmoid").double().eval()
    likelihood.running_variance.fill_(0.07)
    return likelihood


LIKELIHOODS: dict[str, Likelihood] = {
    "gaussian": GaussianLikelihood(variance=0.3, mean="sigmoid"),
    "gaussian_learned": learned(),
    "gaussian_optimal": optimal(),
    "gaussian_per_pixel": GaussianPerPixelLikelihood(min_log_sigma=-6.0, mean="sigmoid"),
    "bernoulli": BernoulliLikelihood(),
    "continuous_bernoulli": ContinuousBernoulliLikelihood(),
    "discretized_logistic": DiscretizedLogisticLikelihood(initial_scale=0.08).double(),
}


def support_of(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return points and weights of a sum or quadrature over what one pixel can be."""
    if name == "bernoulli":
        return torch.tensor([0.0, 1.0], dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    if name == "discretized_logistic":
        return GREY, torch.ones_like(GREY)
    edge = (0.0, 1.0) if name == "continuous_bernoulli" else (-40.0, 40.0)
    x = torch.linspace(*edge, 400_001, dtype=torch.float64)
    weights = torch.full_like(x, float(x[1] - x[0]))
    weights[0] = weights[-1] = weights[0] / 2
    return x, weights


def one_pixel(name: str, value: float) -> torch.Tensor:
    """Return the decoder's values for an image of one pixel."""
    values = torch.full((1, LIKELIHOODS[name].values_per_pixel, 1, 1), value, dtype=torch.float64)
    if name == "gaussian_per_pixel":
        values[:, 1] = -0.7  # ln sigma, softly bounded
    return values


@torch.no_grad()
@pytest.mark.parametrize("value", [-3.0, -0.05, 0.0, 0.05, 0.4, 2.5, 30.0])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_it_sums_to_one_and_its_mean_and_variance_are_those_of_the_density(name: str, value: float) -> None:
    likelihood = LIKELIHOODS[name]
    values = one_pixel(name, value)
    x, weights = support_of(name)
    density = likelihood.log_prob(x.reshape(-1, 1, 1, 1), values.expand(len(x), -1, -1, -1)).exp() * weights
    mean = float((density * x).sum())
    variance = float((density * (x - mean).square()).sum())
    assert float(density.sum()) == pytest.approx(1, abs=1e-6)
    assert likelihood.mean(values).item() == pytest.approx(mean, abs=1e-6)

    assert likelihood.score_is_natural == (name not in {"gaussian_per_pixel", "discretized_logistic"})
    if likelihood.score_is_natural:
        score, curvature = likelihood.score_and_curvature(x, values.flatten())
        assert curvature.broadcast_to(x.shape)[0].item() == pytest.approx(variance, rel=1e-4, abs=1e-12)
        torch.testing.assert_close(score, x - mean, rtol=0, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_samples_have_the_mean_and_lie_in_the_support(name: str) -> None:
    likelihood = LIKELIHOODS[name]
    values = one_pixel(name, 0.4).expand(50_000, -1, -1, -1)
    samples = likelihood.sample(values, torch.Generator().manual_seed(2))
    assert samples.shape == (50_000, 1, 1, 1)
    standard_error = float(samples.std()) / math.sqrt(len(samples))
    assert abs(float(samples.mean() - likelihood.mean(values)[0].squeeze())) < 4 * standard_error
    x, weights = support_of(name)
    mean_log_prob = float(likelihood.log_prob(samples, values).mean())
    log_p = likelihood.log_prob(x.reshape(-1, 1, 1, 1), values[:1].expand(len(x), -1, -1, -1))
    negative_entropy = float((log_p.exp() * log_p.clamp_min(-1e3) * weights).sum())
    spread = float(likelihood.log_prob(samples, values).std()) / math.sqrt(len(samples))
    assert abs(mean_log_prob - negative_entropy) < 4 * spread + 1e-6
    again = likelihood.sample(values, torch.Generator().manual_seed(2))
    assert torch.equal(samples, again)


def test_the_quadrature_would_notice_a_density_that_does_not_integrate_to_one() -> None:
    x, weights = support_of("continuous_bernoulli")
    pixels, values = x.reshape(-1, 1, 1, 1), torch.full((len(x), 1, 1, 1), 0.4, dtype=torch.float64)
    unnormalised = (BernoulliLikelihood().log_prob(pixels, values).exp() * weights).sum()
    assert abs(float(unnormalised) - 1) > 0.1


# Gaussian -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variance", [0.01, 0.5, 392.0])
def test_gaussian_equals_torch_distributions(variance: float) -> None:
    for mean in ("sigmoid", "identity"):
        likelihood = GaussianLikelihood(variance=variance, mean=mean)
        expected_mean = VALUES.sigmoid() if mean == "sigmoid" else VALUES
        reference = Normal(expected_mean, math.sqrt(variance)).log_prob(PIXELS).sum((-3, -2, -1))
        torch.testing.assert_close(likelihood.mean(VALUES), expected_mean)
        torch.testing.assert_close(likelihood.log_prob(PIXELS, VALUES), reference)


def test_variance_one_half_is_the_articles_sum_of_squares() -> None:
    likelihood = GaussianLikelihood(variance=0.5, mean="sigmoid")
    squares = (PIXELS - VALUES.sigmoid()).square().sum((-3, -2, -1))
    constant = 25 / 2 * math.log(math.pi)
    torch.testing.assert_close(-likelihood.log_prob(PIXELS, VALUES) - constant, squares)


@pytest.mark.parametrize("variance", [1e-4, 0.5, 1.0, 40.0])
def test_a_learned_variance_starts_where_it_was_put_and_is_a_gaussian(variance: float) -> None:
    likelihood = GaussianLearnedLikelihood(initial_variance=variance, min_log_sigma=-6.0, mean="sigmoid").double()
    fixed = GaussianLikelihood(variance=likelihood.variance, mean="sigmoid")
    assert likelihood.variance == pytest.approx(variance, rel=1e-5)
    torch.testing.assert_close(likelihood.log_prob(PIXELS, VALUES), fixed.log_prob(PIXELS, VALUES))


def test_a_learned_variance_finds_the_mean_squared_error_and_stays_above_its_bound() -> None:
    likelihood = GaussianLearnedLikelihood(initial_variance=1.0, min_log_sigma=-1.0, mean="sigmoid").double()
    optimizer = torch.optim.Adam(likelihood.parameters(), lr=0.05)
    for _ in range(500):
        optimizer.zero_grad()
        (-likelihood.log_prob(PIXELS, VALUES).mean()).backward()
        optimizer.step()
    assert likelihood.variance == pytest.approx(float((PIXELS - VALUES.sigmoid()).square().mean()), rel=1e-3)
    with torch.no_grad():
        likelihood.raw_log_sigma.fill_(-50.0)
    assert likelihood.variance == pytest.approx(math.exp(-2))
    with pytest.raises(ValueError, match="min_log_sigma"):
        GaussianLearnedLikelihood(initial_variance=1e-9, min_log_sigma=-1.0, mean="sigmoid")


def test_an_optimal_variance_is_the_batchs_error_and_a_running_mean_held_out() -> None:
    likelihood = GaussianOptimalLikelihood(min_log_sigma=-6.0, mean="sigmoid").double()
    error = float((PIXELS - VALUES.sigmoid()).square().mean())
    found = likelihood.log_prob(PIXELS, VALUES)
    torch.testing.assert_close(found, GaussianLikelihood(variance=error, mean="sigmoid").log_prob(PIXELS, VALUES))
    assert likelihood.variance == pytest.approx(error)
    other = VALUES + 2
    likelihood.log_prob(PIXELS, other)
    other_error = float((PIXELS - other.sigmoid()).square().mean())
    moved = (error + other_error) / 2  # of the first ten batches the plain mean
    assert likelihood.variance == pytest.approx(moved)
    for _ in range(8):
        likelihood.log_prob(PIXELS, VALUES)
    moved = (9 * error + other_error) / 10
    likelihood.log_prob(PIXELS, other)
    moved = 0.9 * moved + 0.1 * other_error
    assert likelihood.variance == pytest.approx(moved)
    likelihood.eval()
    whole = likelihood.log_prob(PIXELS, VALUES)
    torch.testing.assert_close(likelihood.log_prob(PIXELS[:1], VALUES[:, :1]), whole[:, :1])
    assert likelihood.variance == pytest.approx(moved)


def test_per_pixel_variances_come_from_the_second_channels() -> None:
    likelihood = GaussianPerPixelLikelihood(min_log_sigma=-6.0, mean="identity")
    values = torch.randn(3, 4, 2, 5, 5, generator=GENERATOR, dtype=torch.float64)
    sigma = torch.exp(-6 + torch.nn.functional.softplus(values[:, :, 1:] + 6))
    reference = Normal(values[:, :, :1], sigma).log_prob(PIXELS).sum((-3, -2, -1))
    torch.testing.assert_close(likelihood.log_prob(PIXELS, values), reference)


# Pixels in [0, 1] -----------------------------------------------------------------------------------------------


def test_bernoulli_equals_torch_distributions_on_binary_pixels() -> None:
    binary = (PIXELS > 0.5).double()
    reference = Bernoulli(logits=VALUES).log_prob(binary).sum((-3, -2, -1))
    torch.testing.assert_close(BernoulliLikelihood().log_prob(binary, VALUES), reference)


def test_bernoulli_is_the_cross_entropy_on_grey_pixels() -> None:
    p = VALUES.sigmoid()
    reference = (PIXELS * p.log() + (1 - PIXELS) * (1 - p).log()).sum((-3, -2, -1))
    torch.testing.assert_close(BernoulliLikelihood().log_prob(PIXELS, VALUES), reference)


@pytest.mark.parametrize("likelihood", [BernoulliLikelihood(), ContinuousBernoulliLikelihood()])
def test_extreme_values_stay_finite(likelihood: Likelihood) -> None:
    extreme = torch.tensor([-1e4, 1e4, 0.0, 1e-8]).reshape(4, 1, 1, 1).requires_grad_()
    log_prob = likelihood.log_prob(torch.zeros(4, 1, 1, 1), extreme)
    log_prob.sum().backward()
    assert log_prob.isfinite().all()
    assert extreme.grad is not None
    assert extreme.grad.isfinite().all()


def test_continuous_bernoulli_equals_torch_distributions() -> None:
    likelihood = ContinuousBernoulliLikelihood()
    reference = ContinuousBernoulli(logits=VALUES)
    torch.testing.assert_close(
        likelihood.log_prob(PIXELS, VALUES), reference.log_prob(PIXELS).sum((-3, -2, -1)), rtol=1e-5, atol=1e-4
    )
    torch.testing.assert_close(likelihood.mean(VALUES), reference.mean, rtol=1e-4, atol=1e-5)


def test_the_gradient_of_the_continuous_bernoulli_is_pixel_minus_mean() -> None:
    """d/d eta [eta x - A(eta)] = x - A'(eta), across the seam to the series and at 0 itself."""
    eta = torch.tensor([-30.0, -0.11, -0.1, -0.09, -1e-9, 0.0, 1e-9, 0.09, 0.1, 0.11, 30.0], dtype=torch.float64)
    values = eta.reshape(-1, 1, 1, 1).requires_grad_()
    pixels = torch.full((11, 1, 1, 1), 0.3, dtype=torch.float64)
    ContinuousBernoulliLikelihood().log_prob(pixels, values).sum().backward()
    torch.testing.assert_close(values.grad, pixels - ContinuousBernoulliLikelihood().mean(values.detach()))


@pytest.mark.parametrize("eta", [-500.0, -30.0, -1e-7, 0.0, 2.0, 30.0, 500.0])
def test_the_continuous_bernoulli_is_sampled_from_its_own_cdf(eta: float) -> None:
    values = torch.full((50_000, 1, 1, 1), eta)  # in 32 bits, in which torch's own clamps the parameter
    samples = ContinuousBernoulliLikelihood().sample(values, torch.Generator().manual_seed(3)).double().flatten()
    exact = torch.tensor(eta, dtype=torch.float64)
    rate = exact.abs().clamp_min(1e-12)
    falling = 1 - samples if eta > 0 else samples  # mirrored so that the density falls
    cdf = torch.expm1(-rate * falling) / torch.expm1(-rate)
    assert scipy.stats.kstest(cdf.numpy(), "uniform").pvalue > 0.01


@pytest.mark.parametrize("location", [-3.0, 0.2, 7.0])
def test_the_discretized_logistic_is_a_difference_of_logistic_cdfs(location: float) -> None:
    likelihood = DiscretizedLogisticLikelihood(initial_scale=0.08).double()
    scale = float(likelihood.log_scale.detach().exp())
    values = torch.full((256, 1, 1, 1), location, dtype=torch.float64)
    edges = torch.tensor([-math.inf, *((k + 0.5) / 255 for k in range(255)), math.inf], dtype=torch.float64)
    cdf = torch.sigmoid((edges - location) / scale)
    survival = torch.sigmoid((location - edges) / scale)
    expected = torch.where(edges[1:] < location, cdf[1:] - cdf[:-1], survival[:-1] - survival[1:])
    found = likelihood.log_prob(GREY.reshape(-1, 1, 1, 1), values).exp()
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-300)


@pytest.mark.parametrize("name", [name for name in LIKELIHOODS if name != "gaussian_per_pixel"])
def test_sixteen_bit_values_are_summed_in_thirty_two(name: str) -> None:
    likelihood = LIKELIHOODS[name]
    values = VALUES.bfloat16()
    found = likelihood.log_prob(PIXELS.float(), values)
    assert found.dtype in {torch.float32, torch.float64}
    torch.testing.assert_close(
        found.double(), likelihood.log_prob(PIXELS.float().double(), values.double()), rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_each_is_a_likelihood_to_the_rest_of_the_code(name: str) -> None:
    assert isinstance(LIKELIHOODS[name], Likelihood)
