"""How much the codes tell about which image they came from (Hoffman & Johnson 2016)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.distributions import Posterior

CODES_AT_ONCE = 100
"""Bounds the memory of the pairs of codes and images."""


@torch.no_grad()
def mutual_information_bound(posterior: Posterior, noise: Float[Tensor, "1 images latent"]) -> Float[Tensor, ""]:
    """Return a lower bound on I(x; z) in nats, from one code of each of n images.

    It is the mean of log q(z_i|x_i) - log (1/n) sum_j q(z_i|x_j), and never exceeds ln n: where the information is
    near that ceiling it says only "at least".
    """
    codes = posterior.sample(noise)[0]
    n = len(codes)
    log_aggregate = torch.cat(
        [
            posterior.log_prob_per_unit(some.unsqueeze(1)).sum(-1).logsumexp(1) - math.log(n)
            for some in codes.split(CODES_AT_ONCE)
        ]
    )
    return (posterior.log_prob_per_unit(codes).sum(-1) - log_aggregate).mean()
