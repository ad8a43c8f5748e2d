"""How much the codes tell about which image they came from (Hoffman & Johnson 2016)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.distributions import Posterior

PAIRS_AT_ONCE = 20_000_000
"""Pairs of codes and images, times latent units squared (a full covariance has as many numbers): bounds the memory."""


@torch.no_grad()
def mutual_information_bound(posterior: Posterior, noise: Float[Tensor, "1 images latent"]) -> Float[Tensor, ""]:
    """Return a lower bound on I(x; z) in nats, from one code of each of n images.

    It is the mean of log q(z_i|x_i) - log (1/n) sum_j q(z_i|x_j), and never exceeds ln n: where the information is
    near that ceiling it says only "at least".
    """
    codes = posterior.sample(noise)[0]
    n, latent_dim = codes.shape
    codes_at_once = max(1, PAIRS_AT_ONCE // (n * latent_dim**2))
    log_aggregate = torch.cat(
        [
            posterior.log_prob_per_unit(some.unsqueeze(1)).sum(-1).logsumexp(1) - math.log(n)
            for some in codes.split(codes_at_once)
        ]
    )
    return (posterior.log_prob_per_unit(codes).sum(-1) - log_aggregate).mean()
