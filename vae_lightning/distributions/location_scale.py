"""Posteriors with independent units z = mean + scale x noise, for any symmetric noise: samples, log-density, KL."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from vae_lightning.distributions.arithmetic import at_least_float32, update_running_mean
from vae_lightning.distributions.prior import standard_normal
from vae_lightning.distributions.shapes import AnyCodes, AnyTerms, Codes, Outputs, PerUnit
from vae_lightning.distributions.standard_noise import StandardNoise, gaussian_noise
from vae_lightning.ranges import Positive
from vae_lightning.ranks import mean_over_ranks

LEAST_VARIANCE = 1e-20
"""Only against a division by zero. Torch's 1e-5 would let an encoder escape: means of a deviation far below its root
would shrink the normalised ones, and the KL would vanish after all."""


class LocationScale(NamedTuple):
    """q(z|x) of a batch of images; with Gaussian noise N(mean, diag scale^2)."""

    mean: PerUnit
    log_squared_scale: PerUnit
    """2 ln scale: the log variance of Gaussian noise."""
    standard: StandardNoise

    def sample(self, noise: Codes) -> Codes:
        return self.mean + torch.exp(0.5 * self.log_squared_scale) * noise

    def sample_with_log_prob(self, noise: Codes) -> tuple[Codes, Codes]:
        return self.sample(noise), self.standard.log_prob(noise) - 0.5 * self.log_squared_scale

    def kl_per_unit(self) -> PerUnit:
        """Return KL(q(z_i|x) || N(0, 1)) in nats, a closed form for every noise with a variance v and an entropy.

        KL = KL(noise || N(0, 1)) + (mean^2 + v (scale^2 - 1) - ln scale^2) / 2 (Gaussian: Kingma & Welling 2013,
        appendix B).
        """
        # expm1, since exp - 1 loses what is left of a unit near the prior.
        spread = torch.expm1(self.log_squared_scale)
        if self.standard.variance != 1:
            spread = self.standard.variance * spread
        kl = 0.5 * (self.mean.square() + (spread - self.log_squared_scale))
        return kl + self.standard.divergence if self.standard.divergence else kl

    def log_prob_per_unit(self, codes: AnyCodes) -> AnyTerms:
        # A finite factor, however narrow the posterior: a code at the mean is at the mean.
        per_scale = torch.exp(-0.5 * self.log_squared_scale).clamp_max(torch.finfo(self.mean.dtype).max)
        return self.standard.log_prob((codes - self.mean) * per_scale) - 0.5 * self.log_squared_scale

    def detached(self) -> "LocationScale":
        return self._replace(mean=self.mean.detach(), log_squared_scale=self.log_squared_scale.detach())


class LocationScalePosterior:
    """Reads an encoder's outputs as the means first, then the log squared scales of ``noise`` that is moved."""

    has_density = True
    has_closed_form_kl = True
    least_batch_size = 1
    least_variance_of_mean = 0.0

    def __init__(self, latent_dim: int, *, noise: StandardNoise) -> None:
        self.n_parameters = 2 * latent_dim
        self.standard = noise
        self.is_gaussian = noise.divergence == 0
        # At a squared scale of 1 / v, by the closed form of the KL.
        self.least_kl_per_unit = noise.divergence + 0.5 * (1 - noise.variance + math.log(noise.variance))

    def noise(self, shape: tuple[int, ...], generator: Generator) -> Float[Tensor, "..."]:
        return self.standard.draw(shape, generator)

    def __call__(self, parameters: Outputs) -> LocationScale:
        # Under mixed precision the networks answer in 16 bits, in which a small KL would be mere rounding.
        mean, log_squared_scale = at_least_float32(parameters).chunk(2, dim=-1)
        return LocationScale(mean, log_squared_scale, self.standard)


class ConstantVariancePosterior:
    """Reads an encoder's outputs as the means; the variance is the same for every image and unit.

    The noise-regularised autoencoder (CV-VAE: Ghosh et al. 2020, section 3.1): its KL to N(0, 1) is |mean|^2 / 2 and a
    constant, a penalty that keeps the codes from running away from the noise.
    """

    has_density = True
    has_closed_form_kl = True
    is_gaussian = False
    least_batch_size = 1
    least_variance_of_mean = 0.0
    noise = staticmethod(standard_normal)

    def __init__(self, latent_dim: int, *, variance: Positive) -> None:
        self.n_parameters = latent_dim
        self.log_variance = math.log(variance)
        self.least_kl_per_unit = 0.5 * (variance - 1 - self.log_variance)

    def __call__(self, parameters: Outputs) -> LocationScale:
        mean = at_least_float32(parameters)
        return LocationScale(mean, torch.full_like(mean, self.log_variance), gaussian_noise())


class BatchNormPosterior(nn.Module):
    """BN-VAE: a diagonal Gaussian whose mean of unit i has mean b_i and standard deviation ``gamma`` over the batch.

    Then the batch mean of the KL is at least (1/2) sum_i (gamma^2 + b_i^2), and cannot vanish (Zhu et al. 2020, eq. 8);
    b is learned. The count of active units says nothing here, since Var(mean) = gamma^2 whatever the decoder reads.
    Batch statistics are those of the global batch.
    """

    has_density = True
    is_gaussian = False
    has_closed_form_kl = True
    least_batch_size = 2
    noise = staticmethod(standard_normal)
    running_mean: Tensor
    running_variance: Tensor
    n_seen: Tensor

    def __init__(self, latent_dim: int, *, gamma: Positive) -> None:
        super().__init__()
        self.gamma = gamma
        self.least_variance_of_mean = gamma**2
        self.least_kl_per_unit = 0.5 * gamma**2
        self.n_parameters = 2 * latent_dim
        self.shift = nn.Parameter(torch.zeros(latent_dim))
        self.register_buffer("running_mean", torch.zeros(latent_dim))
        self.register_buffer("running_variance", torch.ones(latent_dim))
        self.register_buffer("n_seen", torch.tensor(0))

    def forward(self, parameters: Outputs) -> LocationScale:
        raw, log_variance = at_least_float32(parameters).chunk(2, dim=-1)
        if self.training:
            mean = mean_over_ranks(raw.mean(0))
            variance = mean_over_ranks((raw - mean).square().mean(0))
            with torch.no_grad():
                self.n_seen.add_(1)
                update_running_mean(self.running_mean, mean, self.n_seen)
                update_running_mean(self.running_variance, variance, self.n_seen)
        else:
            mean, variance = self.running_mean, self.running_variance
        normalised = (raw - mean) * torch.rsqrt(variance.clamp_min(LEAST_VARIANCE))
        return LocationScale(self.gamma * normalised + self.shift, log_variance, gaussian_noise())
