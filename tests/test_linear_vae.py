"""The oracle: a linear VAE trained on Gaussian data reaches the optimum that is known in closed form.

With covariance eigenvalues l and a = kl_weight x sigma^2, a direction lives where l > a; then its unit has KL =
ln(l/a)/2, Var(mean) = 1 - a/l, posterior variance a/l and decoder gain^2 = l - a; elsewhere these are 0, 0, 1 and 0.
The optimal loss is (D/2) ln(2 pi sigma^2) + (w/2) sum_alive [1 + ln(l/a)] + sum_dead l / (2 sigma^2); a learned sigma^2
ends at sum_dead l / (D - w r), r the number of living units (Lucas et al. 2019; Wang & Ziyin 2022).
"""

import math

import pytest
import torch
from torch import Tensor

from vae_lightning.data import linear_gaussian
from vae_lightning.distributions import (
    GaussianLearnedLikelihood,
    GaussianLikelihood,
    GaussianOptimalLikelihood,
    Likelihood,
    LocationScale,
    LocationScalePosterior,
    StandardNormalPrior,
    gaussian_noise,
)
from vae_lightning.networks import MLPDecoder, MLPEncoder
from vae_lightning.objectives import Elbo, Pathwise
from vae_lightning.training_step import TrainingStep

SLOW = pytest.mark.slow
SPECTRUM = [4.0, 2.0, 1.0, 0.3, 0.1]
LATENT_DIM = 4
STEPS = 3000


def trained(likelihood: Likelihood, kl_weight: float) -> tuple[Tensor, LocationScale, MLPDecoder]:
    """Return the data, their posterior and the decoder after training to convergence."""
    pixels = linear_gaussian(spectrum=SPECTRUM, n_training=1000, n_test=10, data_seed=0).training.pixels
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = MLPEncoder((1, 1, 5), 2 * LATENT_DIM, hidden_sizes=[], activation="relu")
        decoder = MLPDecoder(LATENT_DIM, (1, 1, 5), hidden_sizes=[], activation="relu")
    prior, family = StandardNormalPrior(), LocationScalePosterior(LATENT_DIM, noise=gaussian_noise())
    objective = Elbo(Pathwise(kl="closed_form"), n_samples=2)
    parts = [part for part in (encoder, decoder, likelihood) if isinstance(part, torch.nn.Module)]
    optimizer = torch.optim.Adam([parameter for part in parts for parameter in part.parameters()], lr=0.02)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for step in range(STEPS):
        half = torch.randn(1, 1000, LATENT_DIM, generator=generator)
        noise = torch.cat([half, -half])  # antithetic: the mean of the noise is exactly 0
        optimizer.zero_grad()
        at = TrainingStep(step, STEPS, STEPS)
        bound = objective(pixels, family(encoder(pixels)), prior, decoder, likelihood, noise, kl_weight, at)
        bound.loss.backward()
        optimizer.step()
        decay.step()
    with torch.no_grad():
        return pixels.flatten(1), family(encoder(pixels)), decoder


def exact_loss(
    pixels: Tensor, posterior: LocationScale, decoder: MLPDecoder, kl_weight: float, variance: float
) -> float:
    """E_q |x - W z - b|^2 is a closed form for a linear decoder, so the loss is known without noise."""
    linear = decoder.layers[0]
    residual = pixels - posterior.mean @ linear.weight.T - linear.bias
    spread = posterior.log_squared_scale.exp() @ linear.weight.square().sum(0)
    squared_error = (residual.square().sum(1) + spread).mean()
    kl = posterior.kl_per_unit().sum(1).mean()
    return float(squared_error / (2 * variance) + 2.5 * math.log(2 * math.pi * variance) + kl_weight * kl)


@torch.no_grad()
def assert_optimal(
    pixels: Tensor, posterior: LocationScale, decoder: MLPDecoder, kl_weight: float, variance: float
) -> None:
    a = kl_weight * variance
    living = [eigenvalue for eigenvalue in SPECTRUM[:LATENT_DIM] if eigenvalue > a]
    dead = LATENT_DIM - len(living)
    kl, order = posterior.kl_per_unit().mean(0).sort(descending=True)
    variances = posterior.mean.var(0, correction=0)[order]
    posterior_variances = posterior.log_squared_scale.exp().mean(0)[order]
    gains = decoder.layers[0].weight.square().sum(0)[order]
    assert kl.tolist() == pytest.approx([math.log(l_i / a) / 2 for l_i in living] + [0.0] * dead, abs=1e-2)
    assert variances.tolist() == pytest.approx([1 - a / l_i for l_i in living] + [0.0] * dead, abs=1e-2)
    assert posterior_variances.tolist() == pytest.approx([a / l_i for l_i in living] + [1.0] * dead, abs=1e-2)
    assert gains.tolist() == pytest.approx([l_i - a for l_i in living] + [0.0] * dead, abs=2e-2)
    assert int((variances > 0.01).sum()) == len(living)

    optimum = 2.5 * math.log(2 * math.pi * variance)
    optimum += kl_weight / 2 * sum(1 + math.log(l_i / a) for l_i in living)
    optimum += sum(SPECTRUM[len(living) :]) / (2 * variance)
    found = exact_loss(pixels, posterior, decoder, kl_weight, variance)
    assert found == pytest.approx(optimum, abs=1e-3)


@pytest.mark.parametrize(
    ("kl_weight", "variance"), [(1.0, 0.5), pytest.param(4.0, 0.375, marks=SLOW), pytest.param(0.2, 1.0, marks=SLOW)]
)
def test_it_reaches_the_known_optimum(kl_weight: float, variance: float) -> None:
    pixels, posterior, decoder = trained(GaussianLikelihood(variance=variance, mean="identity"), kl_weight)
    assert_optimal(pixels, posterior, decoder, kl_weight, variance)


@pytest.mark.parametrize(
    ("kind", "kl_weight", "n_living"),
    [
        pytest.param(*case, marks=SLOW)
        for case in (("learned", 0.5, 4), ("learned", 1.2, 3), ("learned", 1.5, 2), ("optimal", 1.2, 3))
    ],
)
def test_with_sigma_free_it_reaches_the_known_optimum_and_sigma(kind: str, kl_weight: float, n_living: int) -> None:
    likelihood: Likelihood
    if kind == "learned":
        likelihood = GaussianLearnedLikelihood(initial_variance=1.0, min_log_sigma=-6.0, mean="identity")
    else:
        likelihood = GaussianOptimalLikelihood(min_log_sigma=-6.0, mean="identity")
    pixels, posterior, decoder = trained(likelihood, kl_weight)
    variance = sum(SPECTRUM[n_living:]) / (5 - kl_weight * n_living)
    assert sum(eigenvalue > kl_weight * variance for eigenvalue in SPECTRUM[:LATENT_DIM]) == n_living
    assert likelihood.variance == pytest.approx(variance, rel=1e-2)
    assert_optimal(pixels, posterior, decoder, kl_weight, variance)
