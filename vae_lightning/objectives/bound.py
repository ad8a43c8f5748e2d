"""What every objective is made of and returns: log p(x|z) of codes, KL per unit, and the loss beside both."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.distributions import Likelihood, Posterior, Prior
from vae_lightning.distributions.shapes import Codes, Pixels

Decoder = Callable[[Float[Tensor, "batch latent"]], Float[Tensor, "batch values height width"]]


class Bound(NamedTuple):
    """Terms of one batch, in nats. ``loss`` alone knows the KL weight; the ELBO is -(distortion + KL)."""

    loss: Float[Tensor, ""]
    distortion: Float[Tensor, " batch"]
    """-E_q log p(x|z)."""
    kl_per_unit: Float[Tensor, "batch latent"]
    """KL(q(z_i|x) || p(z_i)), in closed form where there is one, else by the same samples."""


def log_likelihood(
    pixels: Pixels, codes: Codes, decoder: Decoder, likelihood: Likelihood
) -> Float[Tensor, "samples batch"]:
    """Return log p(x|z) of every code, by one call of the decoder."""
    values = decoder(codes.flatten(0, 1)).unflatten(0, codes.shape[:2])
    return likelihood.log_prob(pixels, values)


class Terms(NamedTuple):
    """The unweighted terms of the ELBO per image, in nats."""

    distortion: Float[Tensor, " batch"]
    kl_per_unit: Float[Tensor, "batch latent"]


@torch.no_grad()
def elbo_terms(
    pixels: Pixels, posterior: Posterior, prior: Prior, decoder: Decoder, likelihood: Likelihood, noise: Codes
) -> Terms:
    """Measure the ELBO, the same way for every objective: what is trained on never changes what is reported.

    The decoder sees the samples one by one, so its memory does not grow with their number.
    """
    codes = posterior.sample(noise)
    log_px = torch.cat([log_likelihood(pixels, sample, decoder, likelihood) for sample in codes.split(1)])
    return Terms(-log_px.mean(0), measured_kl_per_unit(posterior, prior, noise))


@torch.no_grad()
def measured_kl_per_unit(posterior: Posterior, prior: Prior, noise: Codes) -> Float[Tensor, "batch latent"]:
    """Return the KL as it is reported: in closed form where there is one, else from the codes of the noise."""
    closed_form = prior.kl_per_unit(posterior)
    if closed_form is not None:
        return closed_form
    codes, log_q = posterior.sample_with_log_prob(noise)
    return (log_q - prior.log_prob_per_unit(codes)).mean(0)
