"""The diagonal Gaussian posterior against the prior N(0, I): samples, log-density and KL, as pure functions."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.distributions.precision import at_least_float32


class DiagonalGaussian(NamedTuple):
    """q(z|x) = N(mean, diag exp(log_variance)) for a batch of images."""

    mean: Float[Tensor, "batch latent"]
    log_variance: Float[Tensor, "batch latent"]

    def sample(self, noise: Float[Tensor, "samples batch latent"]) -> Float[Tensor, "samples batch latent"]:
        """Return mean + standard deviation x noise (the reparameterisation of Kingma & Welling 2013, section 2.4)."""
        return self.mean + torch.exp(0.5 * self.log_variance) * noise

    def kl_per_unit(self) -> Float[Tensor, "batch latent"]:
        """Return KL(q(z_i|x) || N(0, 1)) in nats (Kingma & Welling 2013, appendix B)."""
        # expm1, since exp - 1 loses what is left of a unit near the prior.
        return 0.5 * (self.mean.square() + (torch.expm1(self.log_variance) - self.log_variance))

    def log_prob(self, codes: Float[Tensor, "*samples batch latent"]) -> Float[Tensor, "*samples batch"]:
        """Return log q(z|x) in nats, summed over the latent units."""
        standardised = (codes - self.mean) * torch.exp(-0.5 * self.log_variance)
        per_unit = -0.5 * (standardised.square() + self.log_variance + math.log(2 * math.pi))
        return per_unit.sum(-1)


class DiagonalPosterior:
    """Reads an encoder's outputs as a diagonal Gaussian: the means first, then the log variances."""

    def n_parameters(self, latent_dim: int) -> int:
        """How many numbers the encoder must give per image."""
        return 2 * latent_dim

    def __call__(self, parameters: Float[Tensor, "batch outputs"]) -> DiagonalGaussian:
        # Under mixed precision the networks answer in 16 bits, in which a small KL would be mere rounding.
        mean, log_variance = at_least_float32(parameters).chunk(2, dim=-1)
        return DiagonalGaussian(mean, log_variance)
