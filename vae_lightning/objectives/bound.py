"""What every objective is made of and returns: codes, log p(x|z) of them, KL per unit, and the loss beside both."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.distributions import Likelihood, Posterior, Prior
from vae_lightning.distributions.shapes import Codes, PerUnit, Pixels

Decoder = Callable[[Float[Tensor, "batch latent"]], Float[Tensor, "batch values height width"]]
OfSamples = Float[Tensor, "samples batch"]
OfImages = Float[Tensor, " batch"]


class Bound(NamedTuple):
    """Terms of one batch, in nats. ``loss`` alone knows the KL weight; the ELBO is -(distortion + KL)."""

    loss: Float[Tensor, ""]
    distortion: OfImages
    """-E_q log p(x|z)."""
    kl_per_unit: PerUnit
    """KL(q(z_i|x) || p(z_i)), in closed form where there is one, else by the same samples."""


@dataclass(frozen=True)
class Draw:
    """Codes and the posterior they came from, each cut from the graph where the estimator wants no gradient."""

    codes: Codes
    posterior: Posterior
    prior: Prior
    noise: Codes | None = None
    """What the codes were made of, where log q may be computed from it: where codes and posterior are not cut apart."""

    @cached_property
    def log_q_per_unit(self) -> Codes:
        """Return the terms of log q(z|x)."""
        if self.noise is None:
            return self.posterior.log_prob_per_unit(self.codes)
        return self.posterior.sample_with_log_prob(self.noise)[1]

    @cached_property
    def kl_samples(self) -> Codes:
        """Return log q(z|x) - log p(z), unit by unit: their mean estimates the KL."""
        return self.log_q_per_unit - self.prior.log_prob_per_unit(self.codes)


def log_likelihood(pixels: Pixels, codes: Codes, decoder: Decoder, likelihood: Likelihood) -> OfSamples:
    """Return log p(x|z) of every code, by one call of the decoder."""
    values = decoder(codes.flatten(0, 1)).unflatten(0, codes.shape[:2])
    return likelihood.log_prob(pixels, values)


class Terms(NamedTuple):
    """The unweighted terms of the ELBO per image, in nats."""

    distortion: OfImages
    kl_per_unit: PerUnit


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
def measured_kl_per_unit(posterior: Posterior, prior: Prior, noise: Codes) -> PerUnit:
    """Return the KL as it is reported: in closed form where there is one, else from the codes of the noise."""
    closed_form = prior.kl_per_unit(posterior)
    if closed_form is not None:
        return closed_form
    codes, log_q = posterior.sample_with_log_prob(noise)
    return (log_q - prior.log_prob_per_unit(codes)).mean(0)
