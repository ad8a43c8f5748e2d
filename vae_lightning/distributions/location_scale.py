"""Posteriors with independent units z = mean + scale x noise, for any symmetric noise: samples, log-density, KL."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from vae_lightning.distributions.precision import at_least_float32
from vae_lightning.distributions.shapes import Codes
from vae_lightning.distributions.standard_noise import StandardNoise


class LocationScale(NamedTuple):
    """q(z|x) of a batch of images; with Gaussian noise N(mean, diag scale^2)."""

    mean: Float[Tensor, "batch latent"]
    log_squared_scale: Float[Tensor, "batch latent"]
    """2 ln scale: the log variance of Gaussian noise."""
    standard: StandardNoise

    def sample(self, noise: Codes) -> Codes:
        return self.mean + torch.exp(0.5 * self.log_squared_scale) * noise

    def sample_with_log_prob(self, noise: Codes) -> tuple[Codes, Codes]:
        return self.sample(noise), self.standard.log_prob(noise) - 0.5 * self.log_squared_scale

    def kl_per_unit(self) -> Float[Tensor, "batch latent"]:
        """Return KL(q(z_i|x) || N(0, 1)) in nats, a closed form for every noise with a variance v and an entropy.

        KL = KL(noise || N(0, 1)) + (mean^2 + v (scale^2 - 1) - ln scale^2) / 2; with Gaussian noise this is Kingma &
        Welling 2013, appendix B.
        """
        # expm1, since exp - 1 loses what is left of a unit near the prior.
        spread = torch.expm1(self.log_squared_scale)
        if self.standard.variance != 1:
            spread = self.standard.variance * spread
        kl = 0.5 * (self.mean.square() + (spread - self.log_squared_scale))
        return kl + self.standard.divergence if self.standard.divergence else kl

    def log_prob_per_unit(self, codes: Float[Tensor, "*codes latent"]) -> Float[Tensor, "*broadcast latent"]:
        # A finite factor, however narrow the posterior: a code at the mean is at the mean.
        per_scale = torch.exp(-0.5 * self.log_squared_scale).clamp_max(torch.finfo(self.mean.dtype).max)
        return self.standard.log_prob((codes - self.mean) * per_scale) - 0.5 * self.log_squared_scale

    def detached(self) -> "LocationScale":
        return self._replace(mean=self.mean.detach(), log_squared_scale=self.log_squared_scale.detach())


class LocationScalePosterior:
    """Reads an encoder's outputs as the means first, then the log squared scales.

    Args:
        latent_dim: number of latent units.
        noise: the standard distribution that is moved.
    """

    has_density = True
    has_closed_form_kl = True
    least_batch_size = 1

    def __init__(self, latent_dim: int, *, noise: StandardNoise) -> None:
        self.latent_dim = latent_dim
        self.standard = noise

    @property
    def is_gaussian(self) -> bool:
        """Whether the noise is standard normal."""
        return self.standard.divergence == 0

    @property
    def n_parameters(self) -> int:
        return 2 * self.latent_dim

    def noise(self, shape: tuple[int, ...], generator: Generator) -> Float[Tensor, "..."]:
        return self.standard.draw(shape, generator)

    def __call__(self, parameters: Float[Tensor, "batch outputs"]) -> LocationScale:
        # Under mixed precision the networks answer in 16 bits, in which a small KL would be mere rounding.
        mean, log_squared_scale = at_least_float32(parameters).chunk(2, dim=-1)
        return LocationScale(mean, log_squared_scale, self.standard)
