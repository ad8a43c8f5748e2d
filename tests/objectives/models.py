"""Small exact models that the tests of the objectives share."""

import math

import torch
from torch import Tensor, nn

from vae_lightning.distributions import GaussianLikelihood, LocationScale, StandardNormalPrior, gaussian_noise
from vae_lightning.training_step import TrainingStep

VARIANCE = 0.3
LIKELIHOOD = GaussianLikelihood(variance=VARIANCE, mean="identity")
PRIOR = StandardNormalPrior()
MOMENT = TrainingStep(step=0, total_steps=100, steps_per_epoch=10)


def normals(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gaussian(mean: Tensor, log_variance: Tensor) -> LocationScale:
    return LocationScale(mean, log_variance, gaussian_noise())


class Linear(nn.Module):
    """x = W z, five images of four pixels from two units where nothing else is said."""

    def __init__(self, n_pixels: int = 4, latent_dim: int = 2) -> None:
        super().__init__()
        self.weight = nn.Parameter(normals(n_pixels, latent_dim, seed=1))

    def forward(self, codes: Tensor) -> Tensor:
        return (codes @ self.weight.T).reshape(len(codes), 1, 1, -1)


PIXELS = normals(5, 1, 1, 4, seed=2)
POSTERIOR = gaussian(normals(5, 2, seed=3), normals(5, 2, seed=4) - 1)
DECODER = Linear()


def identity(codes: Tensor) -> Tensor:
    """The scalar model's decoder: p(x|z) = N(z, VARIANCE)."""
    return codes.reshape(-1, 1, 1, 1)


def true_posterior(x: Tensor) -> LocationScale:
    """p(z|x) of the scalar model p(z) = N(0, 1), p(x|z) = N(z, VARIANCE)."""
    gain = 1 / (1 + VARIANCE)
    return gaussian(gain * x.flatten(1), torch.full((len(x), 1), math.log(VARIANCE * gain), dtype=x.dtype))
