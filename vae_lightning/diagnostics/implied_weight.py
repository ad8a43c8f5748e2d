"""At which KL weight a model was trained, told by the model itself.

A training that has come to rest has no gradient left in anything that the encoder can do, and every encoder whose last
layer has a bias can move the log squared scales l of all images and units together. So at the loss R + w KL

    E[dR/dl] + w E[dKL/dl] = 0, where dKL_i/dl_i = (v s_i^2 - 1) / 2 and v the variance of the noise (1 of a Gaussian),

which gives w as a ratio of two means over images. In the linear VAE's optimum (:mod:`vae_lightning.theory.linear_vae`)
it is exact: dR/dl_i = (1 - a/l_i) w / 2 and dKL/dl_i = -(1 - a/l_i) / 2. Where no unit lives both are 0, and nothing
is told; of a training that has not come to rest it tells what the loss balances just now.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.estimates import Mean

LEAST_NARROWED = 0.05
"""Of sum_i E[(1 - v s_i^2) / 2]: with less no unit tells the image, and both means are noise."""
PerImage = Float[Tensor, " images"]


class Balance(NamedTuple):
    """The two sides of each image, summed over its units."""

    of_distortion: PerImage
    """dR/dl, in nats: what a wider posterior costs the decoder."""
    of_kl: PerImage
    """-dKL/dl: what it saves of the KL."""


def balance(
    distortion: Float[Tensor, "samples batch"],
    codes: Float[Tensor, "samples batch latent"],
    offsets: Float[Tensor, "samples batch latent"],
    squared_scales: Float[Tensor, "batch latent"],
    noise_variance: float,
) -> Balance:
    """Return both sides of some images. ``distortion`` must be differentiable in ``codes``.

    Args:
        distortion: -log p(x|z) of each code.
        codes: z = mean + offset.
        offsets: scale times noise, so that dz/dl = offset / 2.
        squared_scales: s^2 of the posterior.
        noise_variance: v.
    """
    (slope,) = torch.autograd.grad(distortion.sum(), codes)
    of_distortion = (slope * offsets / 2).sum(-1).mean(0)
    return Balance(of_distortion.detach(), ((1 - noise_variance * squared_scales) / 2).sum(-1).detach())


def implied_kl_weight(found: Balance) -> Mean | None:
    """Return the weight at which both sides balance, with its standard error; None where no unit lives."""
    costs, saves = (each.double() for each in found)
    saved = float(saves.mean())
    if saved < LEAST_NARROWED:
        return None
    weight = float(costs.mean()) / saved
    return Mean(weight, Mean.of((costs - weight * saves) / saved).error)
