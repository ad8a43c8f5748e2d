"""At which KL weight a model was trained, told by the model itself.

A training that has come to rest has no gradient left in anything that the encoder can do. Every encoder whose last
layers are linear, with a bias, can move the log squared scales l of all images and units together, and can scale their
means m. So at the loss R + w KL

    E[sum_i dR/dl_i] + w E[sum_i dKL/dl_i] = 0,   dKL/dl_i = (v s_i^2 - 1) / 2, v the variance of the noise,
    E[sum_i m_i dR/dm_i] + w E[sum_i m_i^2] = 0.

Each gives w as a ratio of two means over images, and the first holds for every unit by itself. In the linear VAE's
optimum (:mod:`vae_lightning.theory.linear_vae`) all are exact: of a living unit dR/dl = w (1 - a/l) / 2 and
dKL/dl = -(1 - a/l) / 2. The first has the smaller error and comes to rest first, so it is the one that is told: where
the units agree, or the second does. Networks that are not trained agree in neither, and of these nothing is told; nor
is it where no unit lives, since all is then 0. Log variances that are fixed, or lie at a bound, cannot move, which
breaks the first: then the second is told.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.estimates import N_ERRORS, Mean

LEAST_NARROWED = 0.05
"""Of sum_i E[(1 - v s_i^2) / 2]: with less no unit tells the image, and both means are noise."""
AT_REST = 2.0
"""Times by which the two may differ beyond their errors."""
UNITS_AGREE = 0.6
"""Relative scatter over units, beyond their errors, of the weight by each: 0.1 to 0.5 after trainings, 0.8 and more of
networks that are not trained."""
FEWEST_UNITS = 2.5
"""So many units must take part for their agreement to say something."""
NARROWED = 0.9
"""Variance, over the prior's, below which a unit tells something."""
AT_THE_EDGE = 0.05
"""Of the range of a unit's log variances: so near the least of them most lie where a bound holds them."""
NO_SPREAD = 1e-4
"""Of log variances that are the same for every row."""
NOBODY_LIVES = "no unit tells of its row"
NOT_AT_REST = "the training has not come to rest: what balances distortion and KL differs from unit to unit"
PerImage = Float[Tensor, " images"]
PerUnit = Float[Tensor, "images latent"]


class Balance(NamedTuple):
    """Both sides of both balances, of each image, in nats."""

    wider_costs: PerUnit
    """dR/dl: what a wider posterior costs the decoder."""
    wider_saves: PerUnit
    """-dKL/dl: what it saves of the KL."""
    larger_earns: PerImage
    """-m dR/dm: what larger means earn, summed over units."""
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
        (slope * offsets / 2).mean(0).detach(),
        ((1 - noise_variance * squared_scales) / 2).detach(),
        -(slope.mean(0) * means).sum(-1),
        means.square().sum(-1),
    )


def implied_kl_weight(found: Balance) -> Mean | str:
    """Return the weight at which both sides balance, with its standard error; or why nothing is told."""
    wider_costs, wider_saves, larger_earns, larger_costs = (each.double() for each in found)
    if float(wider_saves.sum(1).mean()) < LEAST_NARROWED:
        return NOBODY_LIVES
    by_scale = _ratio(wider_costs.sum(1), wider_saves.sum(1))
    if by_scale.value - N_ERRORS * by_scale.error <= 0:
        return NOT_AT_REST
    by_mean = _ratio(larger_earns, larger_costs)
    same = not (by_scale.surely_above(by_mean) or by_mean.surely_above(by_scale))
    agree = same or 1 / AT_REST < by_mean.value / by_scale.value < AT_REST
    return by_scale if agree or _units_agree(wider_costs, wider_saves, by_scale.value) else NOT_AT_REST


def at_a_bound(log_squared_scales: PerUnit) -> bool:
    """Say whether the log variances of most units that have narrowed are fixed, or lie where a bound holds them."""
    narrowed = log_squared_scales.exp().mean(0) < NARROWED
    if not bool(narrowed.any()):
        return False
    least, most = log_squared_scales[:, narrowed].aminmax(dim=0)
    piled = (log_squared_scales[:, narrowed] - least < AT_THE_EDGE * (most - least)).double().mean(0) > 0.5
    return float(((most - least < NO_SPREAD) | piled).double().mean()) > 0.5


def kl_weight_by_means(found: Balance) -> Mean | None:
    """Return the weight by the second balance alone: of encoders whose log variances cannot move it is the right one.
    None where no mean moves."""
    _, _, earns, costs = (each.double() for each in found)
    return _ratio(earns, costs) if float(costs.mean()) > 0 else None


def _units_agree(costs: Float[Tensor, "images latent"], saves: Float[Tensor, "images latent"], weight: float) -> bool:
    """Say whether the weight by each unit is nearly the same, units counted by how much they have narrowed."""
    narrowed = saves.mean(0).clamp_min(0)
    if narrowed.sum().square() / narrowed.square().sum().clamp_min(1e-12) < FEWEST_UNITS:
        return False
    of_units = costs.mean(0) - weight * saves.mean(0)
    errors = (costs - weight * saves).var(0) / len(costs)
    counted = narrowed > LEAST_NARROWED / len(narrowed)
    # narrowed x (w_i - w)^2, free of what the images leave uncertain
    scatter = ((of_units.square() - errors) / narrowed.clamp_min(1e-12))[counted].sum() / narrowed[counted].sum()
    return math.sqrt(max(0.0, float(scatter))) < UNITS_AGREE * weight


def _ratio(above: Float[Tensor, " images"], below: Float[Tensor, " images"]) -> Mean:
    """Return a ratio of two means, with the standard error by which it follows each image."""
    mean = float(below.mean())
    ratio = float(above.mean()) / mean
    return Mean(ratio, Mean.of((above - ratio * below) / mean).error)
