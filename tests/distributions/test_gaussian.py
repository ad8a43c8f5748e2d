import torch
from torch.distributions import Normal, kl_divergence

from vae_lightning.distributions import DiagonalGaussian, DiagonalPosterior

GENERATOR = torch.Generator().manual_seed(0)
MEAN = torch.randn(6, 3, generator=GENERATOR, dtype=torch.float64) * 3
LOG_VARIANCE = torch.randn(6, 3, generator=GENERATOR, dtype=torch.float64) * 2
POSTERIOR = DiagonalGaussian(MEAN, LOG_VARIANCE)
REFERENCE = Normal(MEAN, (0.5 * LOG_VARIANCE).exp())


def test_kl_and_log_prob_equal_torch_distributions() -> None:
    prior = Normal(torch.zeros_like(MEAN), torch.ones_like(MEAN))
    torch.testing.assert_close(POSTERIOR.kl_per_unit(), kl_divergence(REFERENCE, prior))
    codes = torch.randn(4, 6, 3, generator=GENERATOR, dtype=torch.float64)
    torch.testing.assert_close(POSTERIOR.log_prob(codes), REFERENCE.log_prob(codes).sum(-1))


def test_kl_of_the_prior_is_zero_and_of_known_values() -> None:
    assert DiagonalGaussian(torch.zeros(1, 1), torch.zeros(1, 1)).kl_per_unit().item() == 0
    assert DiagonalGaussian(torch.full((1, 1), 2.0), torch.zeros(1, 1)).kl_per_unit().item() == 2


def test_samples_are_location_and_scale_of_the_noise() -> None:
    noise = torch.randn(5, 6, 3, generator=GENERATOR, dtype=torch.float64)
    torch.testing.assert_close(POSTERIOR.sample(noise), REFERENCE.loc + REFERENCE.scale * noise)


def test_the_encoders_outputs_are_means_then_log_variances() -> None:
    outputs = torch.arange(8.0).reshape(2, 4)
    posterior = DiagonalPosterior()(outputs)
    assert DiagonalPosterior().n_parameters(2) == 4
    assert posterior.mean.tolist() == [[0, 1], [4, 5]]
    assert posterior.log_variance.tolist() == [[2, 3], [6, 7]]


def test_the_kl_near_the_prior_is_precise_and_never_negative() -> None:
    log_variance = torch.linspace(-1e-3, 1e-3, 1001).reshape(-1, 1)
    exact = 0.5 * (torch.expm1(log_variance.double()) - log_variance.double())
    found = DiagonalGaussian(torch.zeros(1001, 1), log_variance).kl_per_unit()
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-10)


def test_sixteen_bit_networks_are_read_in_thirty_two() -> None:
    outputs = (1e-2 * torch.randn(500, 8, generator=GENERATOR)).bfloat16()
    posterior = DiagonalPosterior()(outputs)
    reference = DiagonalPosterior()(outputs.double())
    assert posterior.mean.dtype == torch.float32
    torch.testing.assert_close(posterior.kl_per_unit().double(), reference.kl_per_unit(), rtol=1e-3, atol=1e-9)
    assert reference.mean.dtype == torch.float64
