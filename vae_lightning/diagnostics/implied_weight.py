"""At which KL weight a model was trained, told by the model itself.

A training that has come to rest has no gradient left in anything that the encoder can do. Every encoder whose last
layers are linear, with a bias, can move the log squared scales l of all images and units together, and can scale their
means m. So at the loss R + w KL

    E[sum_i dR/dl_i] + w E[sum_i dKL/dl_i] = 0,   dKL/dl_i = (v s_i^2 - 1) / 2, v the variance of the noise,
    E[sum_i m_i dR/dm_i] + w E[sum_i m_i^2] = 0.

Each gives w as a ratio of two means over images. In the linear VAE's optimum (:mod:`vae_lightning.theory.linear_vae`)
both are exact: of a living unit dR/dl = w (1 - a/l) / 2 and dKL/dl = -(1 - a/l) / 2. The first has the smaller error,
and is told where the second agrees with it: where they do not, the training has not come to rest. Where no unit lives
all are 0, and nothing is told.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.estimates import N_ERRORS, Mean

LEAST_NARROWED = 0.05
"""Of sum_i E[(1 - v s_i^2) / 2]: with less no unit tells the image, and both means are noise."""
AT_REST = 2.0
"""Times by which the two may differ beyond their errors: those of untrained networks mostly have different signs."""
PerImage = Float[Tensor, " images"]


class Balance(NamedTuple):
    """Both sides of both balances, of each image, summed over its units, in nats."""

    wider_costs: PerImage
    """dR/dl: what a wider posterior costs the decoder."""
    wider_saves: PerImage
    """-dKL/dl: what it saves of the KL."""
    larger_earns: PerImage
    """-m dR/dm: what larger means earn."""
    larger_costs: PerImage
    """m dKL/dm = m^2."""


def balance(
    distortion: Float[Tensor, "samples batch"],
    codes: Float[Tensor, "samples batch latent"],
    offsets: Float[Tensor, "samples batch latent"],
    squared_scales: Float[Tensor, "batch latent"],
    noise_variance: float,
) -> Balance:
    """Return the balances of some images. ``distortion`` must be differentiable in ``codes``.

    Args:
        distortion: -log p(x|z) of each code.
        codes: z = mean + offset.
        offsets: scale times noise, so that dz/dl = offset / 2 and dz/dm = 1.
        squared_scales: s^2 of the posterior.
        noise_variance: v.
    """
    (slope,) = torch.autograd.grad(distortion.sum(), codes)
    means = (codes - offsets).detach()[0]
    return Balance(
        (slope * offsets / 2).sum(-1).mean(0).detach(),
        ((1 - noise_variance * squared_scales) / 2).sum(-1).detach(),
        -(slope.mean(0) * means).sum(-1),
        means.square().sum(-1),
    )


def implied_kl_weight(found: Balance) -> Mean | None:
    """Return the weight at which both sides balance, with its standard error; None where no unit lives, or where the
    two balances are of different weights."""
    wider_costs, wider_saves, larger_earns, larger_costs = (each.double() for each in found)
    if float(wider_saves.mean()) < LEAST_NARROWED:
        return None
    by_scale, by_mean = _ratio(wider_costs, wider_saves), _ratio(larger_earns, larger_costs)
    apart = (by_mean.value / by_scale.value) if by_scale.value else 0.0
    same = not (by_scale.surely_above(by_mean) or by_mean.surely_above(by_scale))
    if by_scale.value - N_ERRORS * by_scale.error <= 0 or not (same or 1 / AT_REST < apart < AT_REST):
        return None
    return by_scale


def _ratio(above: Float[Tensor, " images"], below: Float[Tensor, " images"]) -> Mean:
    """Return a ratio of two means, with the standard error by which it follows each image."""
    mean = float(below.mean())
    ratio = float(above.mean()) / mean
    return Mean(ratio, Mean.of((above - ratio * below) / mean).error)
