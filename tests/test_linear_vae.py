"""The oracle: a linear VAE trained on Gaussian data reaches the optimum that is known in closed form.

With covariance eigenvalues l and a = kl_weight x sigma^2, a direction lives where l > a; then its unit has
KL = ln(l/a)/2, Var(mean) = 1 - a/l and decoder gain^2 = l - a; elsewhere all three are 0 (Lucas et al. 2019).
"""

import math

import pytest
import torch

from vae_lightning.data import linear_gaussian
from vae_lightning.distributions import DiagonalPosterior, GaussianLikelihood
from vae_lightning.networks import MLPDecoder, MLPEncoder
from vae_lightning.objectives import Elbo

SPECTRUM = [4.0, 2.0, 1.0, 0.3, 0.1]
LATENT_DIM = 4
STEPS = 3000


@pytest.mark.parametrize(("kl_weight", "variance"), [(1.0, 0.5), (4.0, 0.375), (0.2, 1.0)])
def test_it_reaches_the_known_optimum(kl_weight: float, variance: float) -> None:
    pixels = linear_gaussian(spectrum=SPECTRUM, n_training=1000, n_test=10, data_seed=0).training.pixels
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = MLPEncoder((1, 1, 5), 2 * LATENT_DIM, hidden_sizes=[], activation="relu")
        decoder = MLPDecoder(LATENT_DIM, (1, 1, 5), hidden_sizes=[], activation="relu")
    family, likelihood = DiagonalPosterior(), GaussianLikelihood(variance=variance, mean="identity")
    objective = Elbo(n_samples=2)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=0.02)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        half = torch.randn(1, 1000, LATENT_DIM, generator=generator)
        noise = torch.cat([half, -half])  # antithetic: the mean of the noise is exactly 0
        optimizer.zero_grad()
        bound = objective(pixels, family(encoder(pixels)), decoder, likelihood, noise, kl_weight)
        bound.loss.backward()
        optimizer.step()
        decay.step()

    a = kl_weight * variance
    living = [eigenvalue for eigenvalue in SPECTRUM[:LATENT_DIM] if eigenvalue > a]
    dead = LATENT_DIM - len(living)
    with torch.no_grad():
        posterior = family(encoder(pixels))
        kl, order = posterior.kl_per_unit().mean(0).sort(descending=True)
        variances = posterior.mean.var(0, correction=0)[order]
        gains = decoder.layers[0].weight.square().sum(0)[order]
    assert kl.tolist() == pytest.approx([math.log(l_i / a) / 2 for l_i in living] + [0.0] * dead, abs=1e-2)
    assert variances.tolist() == pytest.approx([1 - a / l_i for l_i in living] + [0.0] * dead, abs=1e-2)
    assert gains.tolist() == pytest.approx([l_i - a for l_i in living] + [0.0] * dead, abs=2e-2)
    assert int((variances > 0.01).sum()) == len(living)
