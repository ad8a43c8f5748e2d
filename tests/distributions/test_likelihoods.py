import math

import pytest
import torch
from torch.distributions import Bernoulli, Normal

from vae_lightning.distributions import BernoulliLikelihood, GaussianLikelihood, Likelihood

GENERATOR = torch.Generator().manual_seed(0)
PIXELS = torch.rand(4, 1, 5, 5, generator=GENERATOR, dtype=torch.float64)
VALUES = torch.randn(3, 4, 1, 5, 5, generator=GENERATOR, dtype=torch.float64) * 4


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


def test_bernoulli_equals_torch_distributions_on_binary_pixels() -> None:
    binary = (PIXELS > 0.5).double()
    reference = Bernoulli(logits=VALUES).log_prob(binary).sum((-3, -2, -1))
    torch.testing.assert_close(BernoulliLikelihood().log_prob(binary, VALUES), reference)


def test_bernoulli_is_the_cross_entropy_on_grey_pixels() -> None:
    p = VALUES.sigmoid()
    reference = (PIXELS * p.log() + (1 - PIXELS) * (1 - p).log()).sum((-3, -2, -1))
    torch.testing.assert_close(BernoulliLikelihood().log_prob(PIXELS, VALUES), reference)


def test_bernoulli_stays_finite_for_extreme_logits() -> None:
    extreme = torch.full((1, 1, 1, 1, 1), 1e4)
    assert BernoulliLikelihood().log_prob(torch.zeros(1, 1, 1, 1), extreme).item() == -1e4


@pytest.mark.parametrize("likelihood", [BernoulliLikelihood(), GaussianLikelihood(variance=0.5, mean="sigmoid")])
def test_sixteen_bit_values_are_summed_in_thirty_two(likelihood: Likelihood) -> None:
    values = VALUES.bfloat16()
    found = likelihood.log_prob(PIXELS.float(), values)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), likelihood.log_prob(PIXELS, values.double()), rtol=1e-5, atol=0)
