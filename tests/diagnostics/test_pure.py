"""Each diagnostic on inputs whose answer is known."""

import math

import pytest
import torch
from torch import Tensor

from vae_lightning.diagnostics import (
    NearTheData,
    PerImageMetric,
    collapse_epsilon,
    continuity,
    decoder_sensitivity,
    linear_probe,
    log_px,
    mutual_information,
    share_collapsed,
)
from vae_lightning.distributions import GaussianLikelihood, LocationScale, StandardNormalPrior, gaussian_noise
from vae_lightning.theory import collapsed_share

PRIOR = StandardNormalPrior()


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# PerImageMetric ------------------------------------------------------------------------------------------------


def test_rows_come_back_in_the_order_of_the_split() -> None:
    rows, values = PerImageMetric(), torch.arange(20.0).reshape(10, 2)
    for part in (torch.tensor([7, 8, 9]), torch.tensor([0]), torch.arange(1, 7)):
        rows.update(part, values[part])
    torch.testing.assert_close(rows.compute(), values)


# (epsilon, delta)-collapse --------------------------------------------------------------------------------------


def test_a_unit_collapses_when_enough_images_are_below_epsilon() -> None:
    kl = torch.stack([torch.arange(100.0), torch.zeros(100)], dim=1)  # 0 .. 99, and a dead unit
    assert collapse_epsilon(kl, delta=0.01).tolist() == [98.0, 0.0]  # 99 of 100 images lie below anything above 98
    assert collapse_epsilon(kl, delta=0.5).tolist() == [49.0, 0.0]
    at = torch.tensor([0.0, 1e-6, 98.0, 98.1])
    assert share_collapsed(kl, at, delta=0.01).tolist() == [0.0, 0.5, 0.5, 1.0]


def test_on_gaussian_codes_the_epsilon_is_the_closed_forms_quantile() -> None:
    s = torch.tensor([0.2, 0.7], dtype=torch.float64)
    means = torch.randn(100_000, 2, generator=generator(0), dtype=torch.float64) * (1 - s).sqrt()
    kl = LocationScale(means, s.log().expand(len(means), 2), gaussian_noise()).kl_per_unit()
    for delta in (0.01, 0.1):
        share = collapsed_share(collapse_epsilon(kl, delta), s).diagonal()
        error = (delta * (1 - delta) / len(kl)) ** 0.5
        torch.testing.assert_close(share, torch.full_like(s, 1 - delta), atol=4 * error, rtol=0)


# Mutual information ---------------------------------------------------------------------------------------------


def test_the_information_of_a_known_channel_is_in_the_interval() -> None:
    """z = x + noise with x ~ N(0, v): I = ln(1 + v / s2) / 2 per unit. A collapsed encoder has none."""

    def found(spread: float, n: int = 2000) -> tuple[float, float]:
        means = spread * torch.randn(n, 2, generator=generator(1))
        posterior = LocationScale(means, torch.zeros(n, 2), gaussian_noise())
        information = mutual_information(posterior, torch.randn(1, n, 2, generator=generator(2)))
        assert information.ceiling == pytest.approx(math.log(n))
        return information.lower, information.upper

    assert found(0.0) == pytest.approx((0, 0), abs=1e-5)
    lower, upper = found(2.0)
    exact = math.log(1 + 4.0)
    assert lower < upper
    assert (lower, upper) == pytest.approx((exact, exact), abs=0.05)
    ceiling = math.log(200.0)
    lower, upper = found(1e4, n=200)
    assert lower == pytest.approx(ceiling, abs=0.02)  # it cannot say more than "at least"
    assert upper > 100


def test_a_duplicated_unit_tells_little_more_and_costs_a_marginal_kl() -> None:
    n, s = 2000, 0.2
    means = (1 - s) ** 0.5 * torch.randn(n, 1, generator=generator(3))
    posterior = LocationScale(means.expand(n, 2), torch.full((n, 2), s).log(), gaussian_noise())
    found = mutual_information(posterior, torch.randn(1, n, 2, generator=generator(4)))
    exact = 0.5 * math.log(1 + 2 * (1 - s) / s)
    assert found.lower - 0.05 < exact < found.upper + 0.05
    rate = float(posterior.kl_per_unit().sum(1).mean())
    aggregate = torch.tensor([[1.0, 1 - s], [1 - s, 1.0]])
    marginal = -0.5 * float(torch.logdet(aggregate))  # KL(N(0, aggregate) || N(0, I))
    assert rate - found.lower == pytest.approx(marginal, abs=0.06)


def test_the_information_does_not_depend_on_how_the_codes_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    posterior = LocationScale(torch.randn(250, 3, generator=generator(5)), torch.zeros(250, 3), gaussian_noise())
    noise = torch.randn(1, 250, 3, generator=generator(6))
    whole = mutual_information(posterior, noise)
    monkeypatch.setattr("vae_lightning.diagnostics.information.PAIRS_AT_ONCE", 7 * 250 * 9)
    assert mutual_information(posterior, noise) == pytest.approx(whole, rel=1e-6)


# log p(x) -------------------------------------------------------------------------------------------------------


class CountedLinear:
    """A linear decoder that remembers how many codes it has decoded."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight
        self.n_codes = 0

    def __call__(self, codes: Tensor) -> Tensor:
        self.n_codes += len(codes)
        return (codes @ self.weight.T).reshape(-1, 1, 1, len(self.weight))


def linear_model(n: int) -> tuple[Tensor, LocationScale, CountedLinear, GaussianLikelihood, Tensor]:
    """p(x) = N(0, WW' + I/2), with a diagonal posterior that is not quite the true one."""
    weight = torch.randn(6, 3, generator=generator(7), dtype=torch.float64)
    x = torch.randn(n, 6, generator=generator(8), dtype=torch.float64) * 1.5
    likelihood = GaussianLikelihood(variance=0.5, mean="identity")
    m = weight.T @ weight + 0.5 * torch.eye(3, dtype=torch.float64)
    mean = torch.linalg.solve(m, weight.T @ x.T).T
    posterior = LocationScale(mean, (1.3 * 0.5 / m.diagonal()).log().expand(n, 3), gaussian_noise())
    covariance = weight @ weight.T + 0.5 * torch.eye(6, dtype=torch.float64)
    exact = torch.distributions.MultivariateNormal(torch.zeros(6, dtype=torch.float64), covariance).log_prob(x)
    return x.reshape(n, 1, 1, 6), posterior, CountedLinear(weight), likelihood, exact


def test_log_px_of_a_linear_model_is_exact_at_5000_samples() -> None:
    x, posterior, decoder, likelihood, exact = linear_model(40)
    drawn = generator(9)
    blocks = (torch.randn(50, 40, 3, generator=drawn, dtype=torch.float64) for _ in range(1000))
    found = log_px(x, posterior, PRIOR, decoder, likelihood, blocks, [1, 50, 5000])
    assert decoder.n_codes == 5000 * 40  # exactly K for each image
    assert abs(float((found[2] - exact).mean())) < 1e-2
    assert float(found[0].mean()) < float(found[1].mean()) < float(found[2].mean()) + 1e-3  # tighter with every sample


@pytest.mark.parametrize("log_variance", [-1000.0, -200.0, -60.0])
def test_a_posterior_that_rounds_to_its_mean_has_its_log_px_and_its_information(log_variance: float) -> None:
    """log w = log p(x|mean) + log p(mean) - log q, with log q = log N(noise; 0, 1) - log_variance / 2 a unit."""
    n = 50
    x, means = torch.randn(n, 1, 1, 4, generator=generator(30)), torch.randn(n, 3, generator=generator(31))
    posterior = LocationScale(means, torch.full((n, 3), log_variance), gaussian_noise())
    noise = torch.randn(1, n, 3, generator=generator(32))
    likelihood, flat = GaussianLikelihood(variance=0.5, mean="identity"), torch.zeros(n, 1, 1, 4)
    [found] = log_px(x, posterior, PRIOR, lambda codes: flat, likelihood, [noise], [1])
    log_q = torch.distributions.Normal(0.0, 1.0).log_prob(noise.double())[0].sum(1) - 1.5 * log_variance
    log_p = PRIOR.log_prob_per_unit(means.double()).sum(1)
    torch.testing.assert_close(found, likelihood.log_prob(x, flat).double() + log_p - log_q, rtol=1e-5, atol=1e-4)
    information = mutual_information(posterior, noise)
    assert information.lower == pytest.approx(math.log(n))  # no code could be another image's
    assert information.ceiling == pytest.approx(math.log(n))


def test_log_px_does_not_depend_on_the_blocks_and_needs_enough_of_them() -> None:
    x, posterior, decoder, likelihood, _ = linear_model(4)
    noise = torch.randn(70, 4, 3, generator=generator(10), dtype=torch.float64)
    whole = log_px(x, posterior, PRIOR, decoder, likelihood, [noise], [1, 7, 64, 70])
    for size in (1, 16, 64):
        torch.testing.assert_close(
            log_px(x, posterior, PRIOR, decoder, likelihood, noise.split(size), [1, 7, 64, 70]), whole
        )
    by_hand = (
        likelihood.log_prob(x, torch.stack([decoder(codes) for codes in posterior.sample(noise)]))
        + (-0.5 * posterior.sample(noise).square() - 0.5 * math.log(2 * math.pi)).sum(-1)
        - posterior.log_prob_per_unit(posterior.sample(noise)).sum(-1)
    )
    torch.testing.assert_close(whole[1], by_hand[:7].logsumexp(0) - math.log(7))
    with pytest.raises(ValueError, match=r"71.*70"):
        log_px(x, posterior, PRIOR, decoder, likelihood, [noise], [71])


# Sensitivity ----------------------------------------------------------------------------------------------------


def test_the_sensitivity_of_a_linear_decoder_is_twice_its_squared_gain() -> None:
    gains = torch.tensor([2.0, 0.5, 0.0])
    weight = torch.linalg.qr(torch.randn(8, 3, generator=generator(16)))[0] * gains
    n = 20_000
    codes, redrawn = torch.randn(2, n, 3, generator=generator(17))
    variance = torch.full((8,), 0.25)
    found = decoder_sensitivity(
        lambda z: (z @ weight.T).reshape(-1, 1, 1, 8), codes, redrawn, variance, data_variance=10.0
    )
    error = 4 * math.sqrt(2 / n) * 2 * 4  # 4 standard errors: Var of (z - z')^2 is 8
    torch.testing.assert_close(found.per_unit.float(), 2 * gains.square(), atol=error, rtol=0)
    torch.testing.assert_close(found.paid_per_unit.float(), gains.square() / 0.25, atol=2 * error, rtol=0)
    assert found.output_variance_ratio == pytest.approx(float(gains.square().sum()) / 10, rel=0.05)


def test_a_decoder_with_one_image_whatever_the_code_reads_nothing() -> None:
    codes, redrawn = torch.randn(2, 100, 3, generator=generator(18))
    found = decoder_sensitivity(lambda z: torch.ones(len(z), 1, 2, 2), codes, redrawn, None, data_variance=1.0)
    assert found.per_unit.tolist() == [0, 0, 0]
    assert found.output_variance_ratio == 0


# Continuity and completeness ------------------------------------------------------------------------------------


def test_a_linear_decoder_is_perfectly_continuous_and_a_jump_is_one_step_of_all() -> None:
    starts, ends = torch.randn(2, 30, 2, generator=generator(19))
    weight = torch.randn(4, 2, generator=generator(20))
    assert continuity(lambda z: (z @ weight.T).reshape(-1, 1, 2, 2), starts, ends) == pytest.approx(1)

    left, right = torch.full((5, 1), -1.03), torch.full((5, 1), 1.01)
    jump = continuity(lambda z: (z > 0).float().reshape(-1, 1, 1, 1), left, right, n_steps=10)
    assert jump == pytest.approx(1 / 10)
    assert continuity(lambda z: torch.zeros(len(z), 1, 1, 1), starts, ends) is None


def test_completeness_counts_what_is_no_farther_off_than_real_images() -> None:
    references = torch.randn(500, 1, 4, 4, generator=generator(21))
    held_out = torch.randn(200, 1, 4, 4, generator=generator(22))
    near, far = references[:30] + 0.01, references[:10] + 100.0
    assert NearTheData(held_out, references).completeness(torch.cat([near, far])) == pytest.approx(0.75)
    assert NearTheData(held_out, references).completeness(held_out) == pytest.approx(0.95)


# Probe ----------------------------------------------------------------------------------------------------------


def test_a_probe_reads_what_is_there_and_nothing_else() -> None:
    labels = torch.arange(4).repeat(100)
    centres = torch.eye(4)[labels] * 5
    telling = centres + 0.1 * torch.randn(400, 4, generator=generator(23))
    silent = torch.randn(400, 4, generator=generator(24))
    assert linear_probe(telling[:300], labels[:300], telling[300:], labels[300:]) == 1.0
    assert linear_probe(silent[:300], labels[:300], silent[300:], labels[300:]) < 0.45
    assert linear_probe(silent, torch.zeros(400, dtype=torch.long), silent, labels) is None


# Verdict --------------------------------------------------------------------------------------------------------
