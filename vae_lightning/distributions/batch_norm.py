"""BN-VAE: posterior means normalised over the batch, so that the KL cannot vanish (Zhu et al. 2020)."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Generator, Tensor, nn

from vae_lightning.distributions.location_scale import LocationScale
from vae_lightning.distributions.precision import at_least_float32
from vae_lightning.distributions.running import update_running_mean
from vae_lightning.distributions.standard_noise import gaussian_noise
from vae_lightning.ranks import mean_over_ranks

LEAST_VARIANCE = 1e-20
"""Only against a division by zero. Torch's 1e-5 would let an encoder escape: with means of a deviation far below its
root, normalised ones shrink with them, and the KL vanishes after all."""


class BatchNormPosterior(nn.Module):
    """A diagonal Gaussian whose mean of unit i has mean b_i and standard deviation ``gamma`` over the batch.

    Then the batch mean of the KL is at least (1/2) sum_i (gamma^2 + b_i^2) (Zhu et al. 2020, eq. 8); b is learned. The
    count of active units says nothing here, since Var(mean) = gamma^2 whatever the decoder reads. Batch statistics are
    those of the global batch.

    Args:
        latent_dim: number of latent units.
        gamma: the fixed standard deviation.
    """

    has_density = True
    is_gaussian = False
    has_closed_form_kl = True
    least_batch_size = 2
    running_mean: Tensor
    running_variance: Tensor
    n_seen: Tensor

    def __init__(self, latent_dim: int, *, gamma: Annotated[float, Field(gt=0, allow_inf_nan=False)]) -> None:
        super().__init__()
        self.gamma = gamma
        self.n_parameters = 2 * latent_dim
        self.shift = nn.Parameter(torch.zeros(latent_dim))
        self.register_buffer("running_mean", torch.zeros(latent_dim))
        self.register_buffer("running_variance", torch.ones(latent_dim))
        self.register_buffer("n_seen", torch.tensor(0))

    def noise(self, shape: tuple[int, ...], generator: Generator) -> Float[Tensor, "..."]:
        return torch.randn(shape, generator=generator, device=generator.device)

    def forward(self, parameters: Float[Tensor, "batch outputs"]) -> LocationScale:
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
