"""The closed forms hold together, and agree with numerical optimisation and with probabilistic PCA."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from vae_lightning.theory import collapsed_share, learned_critical_weights, learned_variance, linear_vae

SPECTRUM = torch.tensor([4.0, 2.0, 1.0, 0.3, 0.1], dtype=torch.float64)


def objective_of(weight: torch.Tensor, kl_weight: float, variance: float) -> torch.Tensor:
    """The objective of any decoder W at its best encoder: V = (W'W + aI)^-1 W', s_i = a / M_ii (Lucas et al. 2019)."""
    covariance, identity = torch.diag(SPECTRUM), torch.eye(weight.shape[1], dtype=torch.float64)
    m = weight.T @ weight + kl_weight * variance * identity
    encoder = torch.linalg.solve(m, weight.T)
    s = kl_weight * variance / m.diagonal()
    residual = torch.eye(len(SPECTRUM), dtype=torch.float64) - weight @ encoder
    error = torch.trace(residual @ covariance @ residual.T) + (weight.square().sum(0) * s).sum()
    kl = 0.5 * (torch.trace(encoder @ covariance @ encoder.T) + (s - 1 - s.log()).sum())
    return 0.5 * len(SPECTRUM) * math.log(2 * math.pi * variance) + error / (2 * variance) + kl_weight * kl


@pytest.mark.parametrize("latent_dim", [1, 3, 4, 7])
@pytest.mark.parametrize(("kl_weight", "variance"), [(1.0, 0.2), (0.5, 1.5), (3.0, 0.5), (10.0, 1.0)])
def test_no_decoder_is_better_and_the_solution_attains_its_objective(
    latent_dim: int, kl_weight: float, variance: float
) -> None:
    solution = linear_vae(SPECTRUM, latent_dim, kl_weight, variance)
    weight = torch.zeros(len(SPECTRUM), latent_dim, dtype=torch.float64)
    for unit in range(min(latent_dim, len(SPECTRUM))):
        weight[unit, unit] = solution.decoder_gain_squared[unit].sqrt()
    assert float(objective_of(weight, kl_weight, variance)) == pytest.approx(solution.objective, abs=1e-10)

    generator = torch.Generator().manual_seed(0)
    for scale in (0.03, 0.3, 1.0):
        for _ in range(50):
            other = weight + scale * torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            assert float(objective_of(other, kl_weight, variance)) >= solution.objective - 1e-10

    encoder = torch.diag(solution.encoder_gain[: len(SPECTRUM)])
    rows = torch.zeros(latent_dim, len(SPECTRUM), dtype=torch.float64)
    rows[: len(encoder), : len(encoder)] = encoder
    residual = torch.eye(len(SPECTRUM), dtype=torch.float64) - weight @ rows
    found = torch.linalg.eigvalsh(residual @ torch.diag(SPECTRUM) @ residual.T)
    torch.testing.assert_close(found, solution.residual_spectrum.sort().values)
    torch.testing.assert_close(solution.variance_of_mean + solution.posterior_variance, torch.ones(latent_dim).double())
    torch.testing.assert_close((rows.square() @ SPECTRUM), solution.variance_of_mean)


@pytest.mark.parametrize("kl_weight", [0.3, 1.0, 1.7, 4.0])
def test_the_objective_grows_with_the_weight_by_the_kl(kl_weight: float) -> None:
    step = 1e-6
    up, down = (linear_vae(SPECTRUM, 4, kl_weight + d, 0.5).objective for d in (step, -step))
    kl = float(linear_vae(SPECTRUM, 4, kl_weight, 0.5).kl_per_unit.sum())
    assert (up - down) / (2 * step) == pytest.approx(kl, rel=1e-6)


def test_at_weight_one_with_a_learned_variance_it_is_probabilistic_pca() -> None:
    for latent_dim in (1, 2, 4):
        variance = learned_variance(SPECTRUM, latent_dim, 1.0)
        assert variance == pytest.approx(float(SPECTRUM[latent_dim:].mean()))
        solution = linear_vae(SPECTRUM, latent_dim, 1.0, variance)
        model = torch.full_like(SPECTRUM, variance)
        model[:latent_dim] += solution.decoder_gain_squared
        normal = MultivariateNormal(torch.zeros(5, dtype=torch.float64), torch.diag(model))
        # E over the data of -log p(x): the quadratic form has the data's variances.
        expected = -normal.log_prob(torch.zeros(5, dtype=torch.float64)) + 0.5 * (SPECTRUM / model).sum()
        assert solution.objective == pytest.approx(float(expected), abs=1e-12)


@pytest.mark.parametrize("kl_weight", [0.2, 0.9, 1.0, 1.3, 2.0, 2.69, 2.71, 5.0])
def test_a_learned_variance_is_the_best_one(kl_weight: float) -> None:
    variance = learned_variance(SPECTRUM, 3, kl_weight)
    best = linear_vae(SPECTRUM, 3, kl_weight, variance).objective
    grid = torch.logspace(-4, 2, 2001, dtype=torch.float64).tolist()
    assert best <= min(linear_vae(SPECTRUM, 3, kl_weight, other).objective for other in grid) + 1e-12
    living = int((learned_critical_weights(SPECTRUM)[:3] > kl_weight).sum())
    assert linear_vae(SPECTRUM, 3, kl_weight, variance).active_units == living


def test_a_learned_variance_falls_without_end_where_the_units_explain_everything() -> None:
    assert learned_variance(SPECTRUM, 5, 0.5) == 0
    assert learned_variance(torch.tensor([1.0, 0.0]), 1, 0.5) == 0


def test_without_a_price_there_is_no_optimum() -> None:
    with pytest.raises(ValueError, match="kl_weight=0"):
        linear_vae(SPECTRUM, 2, 0.0, 1.0)


def test_the_share_of_images_below_epsilon_is_that_of_drawn_images() -> None:
    s = linear_vae(SPECTRUM, 4, 1.0, 0.5).posterior_variance
    assert float(s[3]) == 1
    n = 200_000
    draws = torch.randn(n, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    means = draws * (1 - s).sqrt()
    kl = torch.distributions.kl_divergence(Normal(means, s.sqrt()), Normal(0.0, 1.0))
    epsilons = torch.tensor([0.0, 0.01, 0.1, 0.5, 1.0, 3.0], dtype=torch.float64)
    found = torch.stack([(kl < epsilon).double().mean(0) for epsilon in epsilons], dim=1)
    torch.testing.assert_close(found, collapsed_share(epsilons, s), atol=4 * 0.5 / n**0.5, rtol=0)
