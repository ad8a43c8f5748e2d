"""How much the codes tell about which image they came from (Hoffman & Johnson 2016)."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.distributions import Posterior

PAIRS_AT_ONCE = 20_000_000
"""Pairs of codes and images, times latent units squared (a full covariance has as many numbers): bounds the memory."""


class MutualInformation(NamedTuple):
    """An interval for I(x; z) in nats. Where the lower end nears the ceiling, it says only "at least"."""

    lower: float
    upper: float
    ceiling: float
    """ln n: the lower estimate cannot exceed it."""


@torch.no_grad()
def mutual_information(posterior: Posterior, noise: Float[Tensor, "1 images latent"]) -> MutualInformation:
    """Return bounds on I(x; z) from one code of each of n images.

    Both compare log q(z_i|x_i) with the log of a mean of q(z_i|x_j). Over all j, that of the image itself included, it
    is a lower bound (van den Oord et al. 2018); over the others only, an upper bound (Poole et al. 2019, eq. 14). They
    bound in expectation; the mean over n images has an error of its own.
    """
    codes, log_q = (of_one_draw[0] for of_one_draw in posterior.sample_with_log_prob(noise))
    n, latent_dim = codes.shape
    codes_at_once = max(1, PAIRS_AT_ONCE // (n * latent_dim**2))
    own_parts, all_parts, other_parts = [], [], []
    for rows in torch.arange(n, device=codes.device).split(codes_at_once):
        own, own_log_q = rows.unsqueeze(1), log_q[rows].sum(-1, keepdim=True)
        # Of the image itself from the noise at hand, which a narrow posterior rounds away in its code.
        pairs = posterior.log_prob_per_unit(codes[rows].unsqueeze(1)).sum(-1).scatter(1, own, own_log_q)
        own_parts.append(own_log_q)
        all_parts.append(pairs.logsumexp(1))
        other_parts.append(pairs.scatter(1, own, -torch.inf).logsumexp(1))
    own_mean = torch.cat(own_parts).double().mean()
    lower = own_mean - (torch.cat(all_parts).double() - math.log(n)).mean()
    upper = own_mean - (torch.cat(other_parts).double() - math.log(max(1, n - 1))).mean()
    return MutualInformation(float(lower), float(upper), math.log(n))
