"""Every posterior against torch.distributions and quadrature."""

import math
from collections.abc import Callable

import pytest
import scipy.stats
import torch
from torch import Tensor
from torch.distributions import (
    AffineTransform,
    Distribution,
    Laplace,
    MultivariateNormal,
    Normal,
    SigmoidTransform,
    StudentT,
    TransformedDistribution,
    Uniform,
    kl_divergence,
)

from vae_lightning.distributions import (
    BatchNormPosterior,
    ConstantVariancePosterior,
    FullCovariancePosterior,
    FullGaussian,
    LocationScale,
    LocationScalePosterior,
    PointPosterior,
    StandardNoise,
    gaussian_noise,
    laplace_noise,
    logistic_noise,
    student_t_noise,
)

GENERATOR = torch.Generator().manual_seed(0)
MEAN = torch.randn(6, 3, generator=GENERATOR, dtype=torch.float64) * 3
LOG_SQUARED_SCALE = torch.randn(6, 3, generator=GENERATOR, dtype=torch.float64) * 1.5
SCALE = (0.5 * LOG_SQUARED_SCALE).exp()
STUDENT_T = student_t_noise(degrees_of_freedom=5.0)


def logistic(location: Tensor, scale: Tensor) -> Distribution:
    uniform = Uniform(torch.zeros_like(location), torch.ones_like(location))
    return TransformedDistribution(uniform, [SigmoidTransform().inv, AffineTransform(location, scale)])


NOISES: dict[str, tuple[StandardNoise, Callable[[Tensor, Tensor], Distribution]]] = {
    "gaussian": (gaussian_noise(), Normal),
    "laplace": (laplace_noise(), Laplace),
    "logistic": (logistic_noise(), logistic),
    "student_t": (STUDENT_T, lambda location, scale: StudentT(5.0, location, scale)),
}


@pytest.mark.parametrize("name", NOISES)
def test_log_density_equals_torch_distributions(name: str) -> None:
    noise, reference = NOISES[name]
    posterior = LocationScale(MEAN, LOG_SQUARED_SCALE, noise)
    codes = torch.randn(4, 6, 3, generator=GENERATOR, dtype=torch.float64) * 3
    torch.testing.assert_close(posterior.log_prob_per_unit(codes), reference(MEAN, SCALE).log_prob(codes))


@pytest.mark.parametrize("name", ["gaussian", "laplace"])
def test_kl_equals_torch_distributions(name: str) -> None:
    noise, reference = NOISES[name]
    prior = Normal(torch.zeros_like(MEAN), torch.ones_like(MEAN))
    expected = kl_divergence(reference(MEAN, SCALE), prior)
    torch.testing.assert_close(LocationScale(MEAN, LOG_SQUARED_SCALE, noise).kl_per_unit(), expected)


@pytest.mark.parametrize("name", NOISES)
def test_kl_equals_quadrature(name: str) -> None:
    """The integral of q (ln q - ln p), with x = sinh(t) to reach far into heavy tails."""
    noise, _ = NOISES[name]
    posterior = LocationScale(MEAN, LOG_SQUARED_SCALE, noise)
    t = torch.linspace(-25, 25, 400_001, dtype=torch.float64)
    x, weight = torch.sinh(t), torch.cosh(t) * (t[1] - t[0])
    codes = x.reshape(-1, 1, 1) * SCALE[:1] + MEAN[:1]
    log_q = posterior._replace(mean=MEAN[:1], log_squared_scale=LOG_SQUARED_SCALE[:1]).log_prob_per_unit(codes)
    log_p = Normal(0.0, 1.0).log_prob(codes)
    integral = (log_q.exp() * (log_q - log_p) * weight.reshape(-1, 1, 1) * SCALE[:1]).sum(0)
    torch.testing.assert_close(posterior.kl_per_unit()[:1], integral, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("noise", "reference"),
    [
        (gaussian_noise(), scipy.stats.norm()),
        (laplace_noise(), scipy.stats.laplace()),
        (logistic_noise(), scipy.stats.logistic()),
        (STUDENT_T, scipy.stats.t(5)),
        (student_t_noise(degrees_of_freedom=2.5), scipy.stats.t(2.5)),
    ],
    ids=["gaussian", "laplace", "logistic", "t5", "t2.5"],
)
def test_draws_follow_the_distribution_and_moments_are_its_own(noise: StandardNoise, reference: object) -> None:
    draws = noise.draw((100_000,), torch.Generator().manual_seed(1))
    assert draws.isfinite().all()
    assert scipy.stats.kstest(draws.numpy(), reference.cdf).pvalue > 0.01
    assert noise.variance == pytest.approx(reference.var())
    assert noise.entropy == pytest.approx(float(reference.entropy()), rel=1e-6)


def test_student_t_with_many_degrees_of_freedom_approaches_the_gaussian() -> None:
    near = student_t_noise(degrees_of_freedom=1e6)
    codes = torch.randn(4, 6, 3, generator=GENERATOR, dtype=torch.float64)
    gaussian, student = (LocationScale(MEAN, LOG_SQUARED_SCALE, noise) for noise in (gaussian_noise(), near))
    torch.testing.assert_close(student.kl_per_unit(), gaussian.kl_per_unit(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(student.log_prob_per_unit(codes), gaussian.log_prob_per_unit(codes), rtol=1e-3, atol=0)
    few = LocationScale(MEAN, LOG_SQUARED_SCALE, STUDENT_T)
    assert (few.kl_per_unit() - gaussian.kl_per_unit()).abs().min() > 0.01


def test_gaussian_kl_of_the_prior_is_zero_and_of_known_values() -> None:
    assert LocationScale(torch.zeros(1, 1), torch.zeros(1, 1), gaussian_noise()).kl_per_unit().item() == 0
    assert LocationScale(torch.full((1, 1), 2.0), torch.zeros(1, 1), gaussian_noise()).kl_per_unit().item() == 2


def test_the_kl_near_the_prior_is_precise_and_never_negative() -> None:
    log_variance = torch.linspace(-1e-3, 1e-3, 1001).reshape(-1, 1)
    exact = 0.5 * (torch.expm1(log_variance.double()) - log_variance.double())
    found = LocationScale(torch.zeros(1001, 1), log_variance, gaussian_noise()).kl_per_unit()
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-10)
    assert (found >= 0).all()


def test_the_encoders_outputs_are_means_then_log_squared_scales() -> None:
    family = LocationScalePosterior(2, noise=gaussian_noise())
    posterior = family(torch.arange(8.0).reshape(2, 4))
    assert family.n_parameters == 4
    assert posterior.mean.tolist() == [[0, 1], [4, 5]]
    assert posterior.log_squared_scale.tolist() == [[2, 3], [6, 7]]
    noise = torch.ones(1, 2, 2)
    torch.testing.assert_close(posterior.sample(noise)[0], posterior.mean + (posterior.log_squared_scale / 2).exp())


def test_sixteen_bit_networks_are_read_in_thirty_two() -> None:
    family = LocationScalePosterior(4, noise=gaussian_noise())
    outputs = (1e-2 * torch.randn(500, 8, generator=GENERATOR)).bfloat16()
    posterior, reference = family(outputs), family(outputs.double())
    assert posterior.mean.dtype == torch.float32
    torch.testing.assert_close(posterior.kl_per_unit().double(), reference.kl_per_unit(), rtol=1e-3, atol=1e-9)
    assert reference.mean.dtype == torch.float64


# Full covariance ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("latent_dim", [1, 2, 5])
def test_full_covariance_equals_torch_distributions(latent_dim: int) -> None:
    family = FullCovariancePosterior(latent_dim)
    posterior = family(torch.randn(6, family.n_parameters, generator=GENERATOR, dtype=torch.float64))
    assert (posterior.scale_tril.triu(1) == 0).all()
    reference = MultivariateNormal(posterior.mean, scale_tril=posterior.scale_tril)
    prior = MultivariateNormal(torch.zeros(latent_dim).double(), torch.eye(latent_dim).double())
    torch.testing.assert_close(posterior.kl_per_unit().sum(-1), kl_divergence(reference, prior))
    codes = torch.randn(4, 6, latent_dim, generator=GENERATOR, dtype=torch.float64)
    torch.testing.assert_close(posterior.log_prob_per_unit(codes).sum(-1), reference.log_prob(codes))
    noise = torch.randn(200_000, 6, latent_dim, generator=GENERATOR, dtype=torch.float64)
    samples = posterior.sample(noise)
    found = torch.einsum("sbi,sbj->bij", samples - posterior.mean, samples - posterior.mean) / len(noise)
    torch.testing.assert_close(found, reference.covariance_matrix, rtol=0.02, atol=0.1)


def test_full_covariance_terms_are_those_of_the_chain_rule() -> None:
    """Each unit's KL is the mean over codes of its conditional log-density's excess over the prior's."""
    family = FullCovariancePosterior(3)
    posterior = family(torch.randn(1, family.n_parameters, generator=GENERATOR, dtype=torch.float64))
    noise = torch.randn(400_000, 1, 3, generator=GENERATOR, dtype=torch.float64)
    codes = posterior.sample(noise)
    excess = posterior.log_prob_per_unit(codes) - Normal(0.0, 1.0).log_prob(codes)
    standard_error = excess.std(0) / math.sqrt(len(noise))
    assert ((excess.mean(0) - posterior.kl_per_unit()).abs() < 4 * standard_error).all()


def test_full_covariance_with_nothing_below_the_diagonal_is_the_diagonal_gaussian() -> None:
    full = FullGaussian(MEAN, 0.5 * LOG_SQUARED_SCALE, torch.zeros(6, 3, 3, dtype=torch.float64))
    diagonal = LocationScale(MEAN, LOG_SQUARED_SCALE, gaussian_noise())
    codes = torch.randn(2, 6, 3, generator=GENERATOR, dtype=torch.float64)
    torch.testing.assert_close(full.kl_per_unit(), diagonal.kl_per_unit())
    torch.testing.assert_close(full.log_prob_per_unit(codes), diagonal.log_prob_per_unit(codes))


def test_full_covariance_keeps_its_precision_under_mixed_precision() -> None:
    family = FullCovariancePosterior(20)
    posterior = family(0.5 * torch.randn(6, family.n_parameters, generator=GENERATOR))
    noise = torch.randn(4, 6, 20, generator=GENERATOR)
    with torch.autocast("cpu", torch.bfloat16):
        codes = posterior.sample(noise)
        found = posterior.log_prob_per_unit(codes)
    assert torch.equal(codes, posterior.sample(noise))
    assert torch.equal(found, posterior.log_prob_per_unit(codes))


# Batch normalisation --------------------------------------------------------------------------------------------


def test_batch_norm_holds_the_kl_above_its_floor() -> None:
    """The KL is at least (gamma^2 + b^2) / 2 per unit, reached where every variance is 1 (Zhu et al. 2020)."""
    family = BatchNormPosterior(3, gamma=0.7).double()
    with torch.no_grad():
        family.shift.copy_(torch.tensor([0.0, 0.5, -1.0]))
    raw = torch.randn(500, 3, generator=GENERATOR, dtype=torch.float64) * torch.tensor([1e-6, 1.0, 30.0]) + 5
    floor = 0.5 * (0.7**2 + family.shift.detach().square())
    posterior = family(torch.cat([raw, torch.zeros_like(raw)], dim=1))
    torch.testing.assert_close(posterior.mean.mean(0), family.shift.detach())
    torch.testing.assert_close(posterior.mean.std(0, correction=0), torch.full((3,), 0.7).double())
    torch.testing.assert_close(posterior.kl_per_unit().mean(0), floor)
    loose = family(torch.cat([raw, torch.randn(500, 3, generator=GENERATOR, dtype=torch.float64)], dim=1))
    assert (loose.kl_per_unit().mean(0) > floor).all()


def test_batch_norm_holds_its_floor_against_a_huge_kl_weight() -> None:
    """An encoder that is paid for nothing but a small KL cannot escape by making its means small before they are
    normalised; with the variance's usual 1e-5 added it does."""
    family = BatchNormPosterior(2, gamma=0.7)
    encoder = torch.nn.Linear(5, family.n_parameters)
    inputs = torch.randn(200, 5, generator=GENERATOR)
    optimizer = torch.optim.Adam([*encoder.parameters(), *family.parameters()], lr=1e-2, weight_decay=1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        kl = family(encoder(inputs)).kl_per_unit().sum(1).mean()
        (100 * kl).backward()
        optimizer.step()
    assert kl.item() == pytest.approx(0.7**2, rel=1e-5)


def test_batch_norm_judges_held_out_images_one_by_one() -> None:
    family = BatchNormPosterior(2, gamma=0.7)
    outputs = torch.randn(100, 4, generator=GENERATOR) + 3
    for _ in range(200):
        trained = family(outputs)
    family.eval()
    torch.testing.assert_close(family(outputs).mean, trained.mean, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(family(outputs[:1]).mean, family(outputs).mean[:1])


# Extremes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("log_variance", [-1000.0, -60.0, 60.0, 1000.0])
@pytest.mark.parametrize("name", NOISES)
def test_the_log_density_of_its_own_sample_is_exact_however_narrow_or_wide(name: str, log_variance: float) -> None:
    """log q(z) = log of the noise's density - log_variance / 2; the code itself has lost the noise, or is infinite."""
    noise, reference = NOISES[name]
    drawn = noise.draw((2, 4, 3), torch.Generator().manual_seed(1)).double()
    mean = torch.full((4, 3), 2.0, dtype=torch.float64)
    posterior = LocationScale(mean, torch.full_like(mean, log_variance), noise)
    codes, log_q = posterior.sample_with_log_prob(drawn)
    standard = reference(torch.zeros(1).double(), torch.ones(1).double())
    torch.testing.assert_close(log_q, standard.log_prob(drawn) - log_variance / 2)
    assert torch.equal(codes, posterior.sample(drawn))
    if log_variance < 0:
        assert torch.equal(codes, mean.expand_as(codes)) == (log_variance == -1000)
    single = LocationScale(mean.float(), torch.full((4, 3), log_variance), noise)
    torch.testing.assert_close(single.sample_with_log_prob(drawn.float())[1].double(), log_q, rtol=1e-5, atol=1e-4)
    at_mean = single.log_prob_per_unit(mean.float())  # 0 times infinity is 0 here
    torch.testing.assert_close(at_mean.double(), standard.log_prob(0 * mean) - log_variance / 2, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("log_deviation", [-500.0, 300.0])
def test_so_it_is_with_a_full_covariance(log_deviation: float) -> None:
    below = torch.randn(1, 3, 3, generator=GENERATOR, dtype=torch.float64).tril(-1)
    posterior = FullGaussian(torch.ones(1, 3).double(), torch.full((1, 3), log_deviation).double(), below)
    noise = torch.randn(5, 1, 3, generator=GENERATOR, dtype=torch.float64)
    codes, log_q = posterior.sample_with_log_prob(noise)
    torch.testing.assert_close(log_q, Normal(0.0, 1.0).log_prob(noise) - log_deviation)
    assert torch.equal(codes, posterior.sample(noise))


# A point --------------------------------------------------------------------------------------------------------


def test_a_point_is_its_mean_and_costs_nothing() -> None:
    family = PointPosterior(3)
    posterior = family(MEAN)
    noise = family.noise((2, 6, 3), torch.Generator())
    assert torch.equal(posterior.sample(noise), torch.stack([MEAN, MEAN]))
    assert (posterior.kl_per_unit() == 0).all()


@pytest.mark.parametrize("variance", [0.1, 1.0, 3.0])
def test_a_constant_variance_is_a_normal_and_its_least_kl_is_at_mean_zero(variance: float) -> None:
    family = ConstantVariancePosterior(3, variance=variance)
    posterior, reference = family(MEAN), Normal(MEAN, variance**0.5)
    torch.testing.assert_close(posterior.kl_per_unit(), kl_divergence(reference, Normal(0.0, 1.0)).double())
    noise = family.noise((4, 6, 3), torch.Generator().manual_seed(0)).double()
    codes, log_q = posterior.sample_with_log_prob(noise)
    torch.testing.assert_close(codes, MEAN + variance**0.5 * noise)
    torch.testing.assert_close(log_q, reference.log_prob(codes))
    assert float(family(torch.zeros(1, 3)).kl_per_unit()[0, 0]) == pytest.approx(family.least_kl_per_unit, abs=1e-6)
    assert family.n_parameters == 3
