"""The bound against what can be computed exactly: the linear Gaussian model, where E_q log p(x|z) is a closed form."""

import math

import pytest
import torch
from torch import nn

from vae_lightning.distributions import DiagonalGaussian, GaussianLikelihood
from vae_lightning.objectives import Elbo

VARIANCE = 0.3
LIKELIHOOD = GaussianLikelihood(variance=VARIANCE, mean="identity")
GENERATOR = torch.Generator().manual_seed(0)


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=GENERATOR, dtype=torch.float64)


class Linear(nn.Module):
    def __init__(self, n_pixels: int, latent_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(randn(n_pixels, latent_dim))

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        return (codes @ self.weight.T).reshape(len(codes), 1, 1, -1)


PIXELS = randn(5, 1, 1, 4)
POSTERIOR = DiagonalGaussian(randn(5, 2), randn(5, 2) - 1)
DECODER = Linear(4, 2)


def test_many_samples_reach_the_closed_form_of_the_distortion() -> None:
    n_samples = 200_000
    bound = Elbo(n_samples=n_samples)(PIXELS, POSTERIOR, DECODER, LIKELIHOOD, randn(n_samples, 5, 2), kl_weight=1.0)
    residual = PIXELS.flatten(1) - POSTERIOR.mean @ DECODER.weight.T
    spread = POSTERIOR.log_variance.exp() @ DECODER.weight.square().sum(0)
    expected = 0.5 * ((residual.square().sum(1) + spread) / VARIANCE + 4 * math.log(2 * math.pi * VARIANCE))
    torch.testing.assert_close(bound.distortion, expected, rtol=0.01, atol=0)


def test_at_the_true_posterior_every_sample_gives_log_px() -> None:
    """p(z) = N(0, 1), p(x|z) = N(z, s2): the posterior is Gaussian and the ELBO is tight."""
    x = PIXELS[:, :, :, :1]
    gain = 1 / (1 + VARIANCE)
    posterior = DiagonalGaussian(
        gain * x.flatten(1), torch.full((5, 1), math.log(VARIANCE * gain), dtype=torch.float64)
    )

    def decoder(codes: torch.Tensor) -> torch.Tensor:
        return codes.reshape(-1, 1, 1, 1)

    noise = randn(400_000, 5, 1)
    bound = Elbo(n_samples=len(noise))(x, posterior, decoder, LIKELIHOOD, noise, kl_weight=1.0)
    elbo = -(bound.distortion + bound.kl_per_unit.sum(-1))
    log_px = torch.distributions.Normal(0.0, math.sqrt(1 + VARIANCE)).log_prob(x.flatten())
    torch.testing.assert_close(elbo, log_px, rtol=0, atol=0.01)


@pytest.mark.parametrize("kl_weight", [0.0, 0.01, 7.5])
def test_the_kl_weight_touches_the_loss_only(kl_weight: float) -> None:
    noise = randn(1, 5, 2)
    weighted = Elbo(n_samples=1)(PIXELS, POSTERIOR, DECODER, LIKELIHOOD, noise, kl_weight)
    plain = Elbo(n_samples=1)(PIXELS, POSTERIOR, DECODER, LIKELIHOOD, noise, 1.0)
    assert torch.equal(weighted.distortion, plain.distortion)
    assert torch.equal(weighted.kl_per_unit, POSTERIOR.kl_per_unit())
    expected = plain.distortion.mean() + kl_weight * POSTERIOR.kl_per_unit().sum(-1).mean()
    torch.testing.assert_close(weighted.loss, expected)


def test_the_average_over_samples_is_the_average_of_single_samples() -> None:
    noise = randn(3, 5, 2)
    together = Elbo(n_samples=3)(PIXELS, POSTERIOR, DECODER, LIKELIHOOD, noise, 0.5)
    single = [Elbo(n_samples=1)(PIXELS, POSTERIOR, DECODER, LIKELIHOOD, one, 0.5).loss for one in noise.split(1)]
    torch.testing.assert_close(together.loss, torch.stack(single).mean())


def test_gradient_is_right_on_the_scalar_model() -> None:
    """REFERENCE closed form: d/dm ELBO = (x - m)/s2 - m, d/ds ELBO = -s/s2 - s + 1/s, for q = N(m, s^2)."""
    x, m, s = 1.7, 0.4, 0.6
    mean = torch.full((1, 1), m, dtype=torch.float64, requires_grad=True)
    log_variance = torch.full((1, 1), 2 * math.log(s), dtype=torch.float64, requires_grad=True)

    def decoder(codes: torch.Tensor) -> torch.Tensor:
        return codes.reshape(-1, 1, 1, 1)

    pixels = torch.full((1, 1, 1, 1), x, dtype=torch.float64)
    noise = randn(100_000, 1, 1)
    noise = torch.cat([noise, -noise])  # antithetic: the mean of the noise is exactly 0
    noise = noise / noise.square().mean().sqrt()  # and its second moment exactly 1
    posterior = DiagonalGaussian(mean, log_variance)
    Elbo(n_samples=len(noise))(pixels, posterior, decoder, LIKELIHOOD, noise, 1.0).loss.backward()
    assert -mean.grad.item() == pytest.approx((x - m) / VARIANCE - m, rel=1e-9)
    by_s = -s / VARIANCE - s + 1 / s
    assert -log_variance.grad.item() == pytest.approx(by_s * s / 2, rel=1e-9)  # ds / d log s^2 = s / 2


def test_many_runs_at_once_under_vmap() -> None:
    """Noise and KL weight are arguments, so that runs with different weights can share one call."""
    weights = torch.tensor([0.1, 1.0, 10.0], dtype=torch.float64)
    noise = randn(3, 1, 5, 2)

    def loss(noise: torch.Tensor, kl_weight: torch.Tensor) -> torch.Tensor:
        return Elbo(n_samples=1)(PIXELS, POSTERIOR, DECODER, LIKELIHOOD, noise, kl_weight).loss

    expected = torch.stack([loss(*pair) for pair in zip(noise, weights, strict=True)])
    torch.testing.assert_close(torch.func.vmap(loss)(noise, weights), expected)
