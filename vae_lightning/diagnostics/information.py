"""What is estimated from many codes: log p(x), and how much codes tell of their image (Hoffman & Johnson 2016)."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.distributions import Likelihood, Posterior, Prior
from vae_lightning.distributions.shapes import Pixels
from vae_lightning.estimates import Mean
from vae_lightning.objectives.bound import Decoder, log_likelihood

PAIRS_AT_ONCE = 20_000_000
"""Pairs of codes and images, times latent units squared (a full covariance has as many numbers): bounds the memory."""


class MutualInformation(NamedTuple):
    """An interval for I(x; z) in nats. Where the lower end nears the ceiling, it says only "at least"."""

    lower: float
    upper: float
    ceiling: float
    """ln n: the lower estimate cannot exceed it."""
    error: float
    """Standard error of either end over images and their codes: the bounds bracket in expectation, not in each draw."""


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
    own, every, others = (torch.cat(parts).double().flatten() for parts in (own_parts, all_parts, other_parts))
    lower, upper = Mean.of(own - every + math.log(n)), Mean.of(own - others + math.log(max(1, n - 1)))
    return MutualInformation(lower.value, upper.value, math.log(n), max(lower.error, upper.error))


@torch.no_grad()
def log_px(
    pixels: Pixels,
    posterior: Posterior,
    prior: Prior,
    decoder: Decoder,
    likelihood: Likelihood,
    noise_blocks: Iterable[Float[Tensor, "_ batch latent"]],
    reported: Sequence[int],
) -> Float[Tensor, "reported batch"]:
    """Return log (1/K) sum_k p(x, z_k) / q(z_k|x) of each image in nats, for each K in ``reported`` (ascending).

    By importance sampling from the posterior: the bound L_K of Burda et al. 2015, eq. 8. The K samples are the first
    K of the blocks, so that memory depends on the size of a block and not on K.

    Raises:
        ValueError: the blocks hold fewer samples than the largest K.
    """
    found = []
    wanted = list(reported)
    total = torch.full((len(pixels),), -torch.inf, device=pixels.device, dtype=torch.float64)
    n_seen = 0
    for noise in noise_blocks:
        codes, log_q = posterior.sample_with_log_prob(noise)
        log_weights = log_likelihood(pixels, codes, decoder, likelihood).double()
        log_weights += (prior.log_prob_per_unit(codes) - log_q).double().sum(-1)
        while wanted and wanted[0] <= n_seen + len(noise):
            k = wanted.pop(0)
            found.append(torch.logaddexp(total, log_weights[: k - n_seen].logsumexp(0)) - math.log(k))
        if not wanted:
            break
        total = torch.logaddexp(total, log_weights.logsumexp(0))
        n_seen += len(noise)
    if wanted:
        raise ValueError(f"{wanted[-1]} importance samples are asked for, and {n_seen} were given")
    return torch.stack(found)
