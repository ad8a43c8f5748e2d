"""log p(x) by importance sampling from the posterior: the bound L_K of Burda et al. 2015, eq. 8, for many K at once."""

import math
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.distributions import Likelihood, Posterior, Prior
from vae_lightning.objectives.bound import Decoder, log_likelihood


@torch.no_grad()
def log_px(
    pixels: Float[Tensor, "batch channels height width"],
    posterior: Posterior,
    prior: Prior,
    decoder: Decoder,
    likelihood: Likelihood,
    noise_blocks: Iterable[Float[Tensor, "_ batch latent"]],
    reported: Sequence[int],
) -> Float[Tensor, "reported batch"]:
    """Return log (1/K) sum_k p(x, z_k) / q(z_k|x) of each image in nats, for each K in ``reported`` (ascending).

    The K samples are the first K of the blocks, so that memory depends on the size of a block and not on K.

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
