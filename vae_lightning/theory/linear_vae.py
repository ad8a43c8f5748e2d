"""The linear VAE solved: which directions of the data live, and everything that follows (the oracle of the tests).

Encoder q(z|x) = N(Vx, diag s), decoder N(Wz, sigma^2 I), prior N(0, I), objective E[-log p(x|z)] + w KL on centred data
whose covariance has eigenvalues l_1 >= l_2 >= ... With a = w sigma^2 the optimum is reverse water-filling: direction i
is learned where l_i > a and given up elsewhere (Tipping & Bishop 1999; Lucas et al. 2019; Wang & Ziyin 2022).
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

PerDirection = Float[Tensor, " dimension"]
PerUnit = Float[Tensor, " latent"]
ALL_KNOWN = 1e-4
"""Of their sum: what is missing to the total beyond that are eigenvalues that are not known."""


class LinearVAE(NamedTuple):
    """The global optimum, unit by unit in the order of the eigenvalues, in nats per image."""

    living: Bool[Tensor, " latent"]
    decoder_gain_squared: PerUnit
    """Squared length of the unit's column of W: l - a."""
    encoder_gain: PerUnit
    """Length of the unit's row of V: sqrt(l - a) / l."""
    posterior_variance: PerUnit
    """s = a / l; 1 for a dead unit, which is the prior's."""
    variance_of_mean: PerUnit
    """Var over the data of the posterior mean: 1 - a / l."""
    kl_per_unit: PerUnit
    """ln(l / a) / 2."""
    residual_spectrum: PerDirection
    """Variance that the reconstruction E_q[Wz] leaves in each direction: a^2 / l where alive, else l."""
    objective: float
    """E[-log p(x|z)] + w KL."""

    @property
    def active_units(self) -> int:
        return int(self.living.sum())


def linear_vae(eigenvalues: PerDirection, latent_dim: int, kl_weight: float, variance: float) -> LinearVAE:
    """Return the optimum for data with these covariance eigenvalues (descending) and a decoder of this sigma^2.

    Raises ValueError where ``kl_weight`` or ``variance`` is not positive: without a price nothing bounds the KL.
    """
    if kl_weight <= 0 or variance <= 0:
        raise ValueError(f"kl_weight={kl_weight:g}, variance={variance:g}: both must be above 0")
    threshold = kl_weight * variance
    dimension = len(eigenvalues)
    # A unit beyond the last direction has nothing to learn.
    units = torch.nn.functional.pad(eigenvalues, (0, max(0, latent_dim - dimension)))[:latent_dim]
    living = units > threshold
    over = (units / threshold).clamp_min(1)  # l / a, and 1 for the dead
    gain_squared = torch.where(living, units - threshold, 0.0)
    learned = torch.zeros(dimension, dtype=torch.bool, device=eigenvalues.device)
    learned[:latent_dim] = living[:dimension]
    residual = torch.where(learned, threshold**2 / eigenvalues, eigenvalues)
    kl = 0.5 * over.log()
    left = float(eigenvalues[~learned].sum()) / (2 * variance)
    constant = 0.5 * dimension * math.log(2 * math.pi * variance)
    paid = kl_weight * (0.5 * float(living.sum()) + float(kl.sum()))
    return LinearVAE(
        living=living,
        decoder_gain_squared=gain_squared,
        encoder_gain=torch.where(living, gain_squared.sqrt() / units, 0.0),
        posterior_variance=1 / over,
        variance_of_mean=1 - 1 / over,
        kl_per_unit=kl,
        residual_spectrum=residual,
        objective=constant + paid + left,
    )


def growth_rate(eigenvalue: float, kl_weight: float, variance: float) -> float:
    """Return the rate at which a direction grows from nothing by gradient descent on the linear VAE's loss.

    With decoder column W u and encoder row V u' along an eigenvector, both small, the loss is to second order
    -l W V / sigma^2 + W^2 / (2 sigma^2) + w l V^2 / 2. So (W, V) grows as e^(rate t), t the learning rate times the
    steps, by the larger eigenvalue of [[-1/sigma^2, l/sigma^2], [l/sigma^2, -w l]]: above 0 where l > w sigma^2, and 0
    at the threshold, where a unit takes for ever. Other optimisers have other steps and the same threshold.
    """
    decoder, encoder, coupling = 1 / variance, kl_weight * eigenvalue, eigenvalue / variance
    return 0.5 * (-(decoder + encoder) + math.hypot(decoder - encoder, 2 * coupling))


def learned_variance(
    eigenvalues: PerDirection,
    latent_dim: int,
    kl_weight: float,
    total: float | None = None,
    dimension: int | None = None,
) -> float:
    """Return the sigma^2 at which a linear VAE with a learned variance ends.

    With r living units it is sum_{i>r} l_i / (D - w r), and r follows: unit i lives while l_i > w sigma^2. At w = 1
    this is probabilistic PCA (Tipping & Bishop 1999, eq. 8). 0 where the units explain everything: sigma^2 falls
    without end. Where only the leading eigenvalues are known, ``total`` is the sum of all ``dimension``.
    """
    dimension = len(eigenvalues) if dimension is None else dimension
    weights = learned_critical_weights(eigenvalues, total, dimension)[:latent_dim]
    n_living = int((weights > kl_weight).sum())
    price = dimension - kl_weight * n_living
    return float(_sums_from(eigenvalues, total)[n_living]) / price if price > 0 else 0.0


def learned_critical_weights(
    eigenvalues: PerDirection, total: float | None = None, dimension: int | None = None
) -> PerDirection:
    """Return the KL weight below which each direction lives where sigma^2 is learned.

    At its threshold direction i has l_i = w sigma^2 with the i - 1 before it alive; put into the sigma^2 of
    :func:`learned_variance`, that is w_i = l_i D / (sum_{j>=i} l_j + (i - 1) l_i).
    """
    rest = _sums_from(eigenvalues, total)[:-1]
    before = torch.arange(len(eigenvalues), device=eigenvalues.device)
    dimension = len(eigenvalues) if dimension is None else dimension
    return (eigenvalues * dimension / (rest + before * eigenvalues)).nan_to_num(0.0)


def _sums_from(eigenvalues: PerDirection, total: float | None) -> Float[Tensor, " _"]:
    """Return the sums of all eigenvalues from each one on, and of those behind the last that is known."""
    own = torch.nn.functional.pad(eigenvalues.flip(0).cumsum(0).flip(0), (0, 1))
    # By their own sum where all are known: a difference of totals has the rounding of the largest.
    behind = 0.0 if total is None else max(0.0, total - float(own[0]))
    return own + (behind if behind > ALL_KNOWN * float(own[0]) else 0.0)


def collapsed_share(
    epsilon: Float[Tensor, " thresholds"], posterior_variance: PerUnit
) -> Float[Tensor, "latent thresholds"]:
    """Return P_x[KL_i < epsilon] of each unit of the optimum on Gaussian data, for (epsilon, delta)-collapse.

    KL_i = (s - 1 - ln s + mu^2) / 2 with mu ~ N(0, 1 - s), so that it is P[chi2_1 < (2 epsilon + 1 - s + ln s) / (1 -
    s)] (Lucas et al. 2019 define the collapse). A dead unit has no KL: it is collapsed at every epsilon above 0.
    """
    s = posterior_variance.unsqueeze(1)
    quantile = (2 * epsilon + 1 - s + s.log()) / (1 - s)
    share = torch.special.gammainc(torch.full_like(quantile, 0.5), quantile.clamp_min(0) / 2)
    return torch.where(s < 1, share, (epsilon > 0).to(share.dtype))


def gain_of_direction(margin: float, kl_weight: float) -> float:
    """Return what one more unit earns that learns a direction of eigenvalue l = margin x kl_weight x sigma^2, in nats.

    It is the difference of two of the linear VAE's objectives, (w/2) (l/a - 1 - ln(l/a)) where l > a, else 0.
    """
    return 0.5 * kl_weight * (margin - 1 - math.log(margin)) if margin > 1 else 0.0
