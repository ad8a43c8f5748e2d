"""Which latent directions a KL weight will kill, before any training: from the data's moments and the likelihood.

Let the decoder be an exponential family log p(x|z) = eta(z)'x - A(eta(z)) + const with one natural parameter per pixel.
In the collapsed state eta is a constant eta_0 with A'(eta_0) = E[x]; let F = diag A''(eta_0). Let one unit with
q(z|x) = N(c u'r, s), r = x - E[x], move eta by u z. To second order in u the log-likelihood gains
c u'Cov(x)u - u'Fu E[z^2] / 2, where E[z^2] = s + O(u^2) and the best s is 1 - O(u^2); the KL costs w c^2 u'Cov(x)u / 2.
The best c is 1 / w, and the gain (u'Cov(x)u / w - u'Fu) / 2 is positive for some u if and only if the largest
eigenvalue of F^{-1/2} Cov(x) F^{-1/2} exceeds w. Eigen-directions do not interact to this order, so each eigenvalue is
the KL weight below which one more direction can live. For a Gaussian decoder these are the eigenvalues of Cov(x) /
sigma^2, and with linear networks the count is exact at every weight (:mod:`vae_lightning.theory.linear_vae`); for other
networks the onset and the counts near it carry over. The Gaussian onset is also in Lucas et al. 2019, Wang & Ziyin
2022, Li et al. 2025 and Hirn 2026; the exponential families, and the residual test built on the same argument, are
derived here.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.distributions import Likelihood
from vae_lightning.errors import UserError
from vae_lightning.estimates import Mean
from vae_lightning.theory.ceiling import gaussian_gain, greatest_gain
from vae_lightning.theory.code_free import FEWEST_IMAGES, CodeFree, best_code_free, scores_of
from vae_lightning.theory.eigenvalues import ROUNDING, PerDirection, leading_of_rows, without_rounding
from vae_lightning.theory.held_out import FEWEST_ROWS, HeldOut, held_out_by_rows
from vae_lightning.theory.linear_vae import learned_critical_weights, learned_variance, linear_vae
from vae_lightning.theory.moments import MomentsOfMany, PerPixel, PixelMoments

TINY = 1e-30
LEAST_DIRECTIONS = 20
"""Looked at also where there are fewer latent units."""


def lives(critical_weight: float, kl_weight: float) -> bool:
    """Say whether a direction lives at a KL weight; one at its very threshold does not, whatever the rounding."""
    return critical_weight > kl_weight * (1 + ROUNDING)


class NoForecast(NamedTuple):
    """Nothing can be foretold."""

    reason: str
    """A sentence."""


class Forecast(NamedTuple):
    """What the spectrum of the data lets live."""

    critical_weights: PerDirection
    """The KL weight below which each direction can live, descending."""
    latent_dim: int
    eigenvalues: PerDirection | None
    """Of the data's covariance, where the decoder is a Gaussian of one variance: its linear model is then solved."""
    variance: float | None
    """That Gaussian's sigma^2; None where it is learned, or where there is none."""
    held_out: HeldOut | None
    """What the leading directions are worth on images that did not choose them, as critical weights: lower bounds. None
    where there are too few images to tell."""
    least_variance: float = 0.0
    """Below which a learned sigma^2 cannot fall."""
    total: float = 0.0
    """The trace of the data's covariance: of many pixels only the leading ``eigenvalues`` are known."""
    n_pixels: int = 0
    unpriced: int = 0
    """Changes of a pixel's values that would pay at any KL weight to second order: of these nothing is foretold."""
    greatest_gain: Mean | None = None
    """What a code could at most gain, in nats per image: over the price of a nat it is the ceiling of the KL."""

    def active_units(self, kl_weight: float) -> int:
        """Return how many units survive: one per direction whose critical weight exceeds ``kl_weight``."""
        return min(self.latent_dim, sum(lives(weight, kl_weight) for weight in self.critical_weights.tolist()))

    def units_on_new_data(self, kl_weight: float) -> tuple[int, int] | None:
        """Return how many units surely, and how many perhaps, live by what holds on new data; None where untold."""
        if self.held_out is None:
            return None
        surely, perhaps = self.held_out.surely_above(kl_weight), self.held_out.perhaps_above(kl_weight)
        return min(self.latent_dim, surely), min(self.latent_dim, perhaps)

    def kl_weights_for(self, active_units: int) -> tuple[float, float]:
        """Return between which KL weights so many units live: from the one below which one more would, to the one
        above which one less does.

        Raises:
            ValueError: the data have not so many directions, or there are fewer units.
        """
        known = self.critical_weights[: self.latent_dim].tolist()
        if not 0 <= active_units <= len(known):
            raise ValueError(f"active_units={active_units}: must be from 0 to {len(known)}")
        below = known[active_units] if active_units < len(known) else 0.0
        above = known[active_units - 1] if active_units else float("inf")
        if not lives(above, below):
            raise ValueError(f"active_units={active_units}: no weight lets so many live; the next live with them")
        return below, above

    def charged(self, critical_kl_weights: Callable[[PerDirection], PerDirection]) -> "Forecast":
        """Return the forecast of a loss in which directions live below other KL weights than in a weighted ELBO."""
        critical = critical_kl_weights(self.critical_weights)
        if torch.equal(critical, self.critical_weights):
            return self
        held_out = None
        if self.held_out is not None:
            values, errors = self.held_out
            above, below = critical_kl_weights(values + errors), critical_kl_weights(values - errors)
            held_out = HeldOut(critical_kl_weights(values), ((above - below) / 2).nan_to_num(0.0, posinf=float("inf")))
        return self._replace(critical_weights=critical, held_out=held_out, eigenvalues=None, variance=None)

    def variance_at(self, kl_weight: float) -> float | None:
        """Return sigma^2 at the end of a training at ``kl_weight``, where the decoder has one."""
        if self.eigenvalues is None or self.variance is not None:
            return self.variance
        found = learned_variance(self.eigenvalues, self.latent_dim, kl_weight, self.total, self.n_pixels)
        return max(self.least_variance, found)

    def kl_per_unit(self, kl_weight: float) -> Float[Tensor, " latent"] | None:
        """Return the KL of each unit of the linear model with a Gaussian decoder, in nats; else None."""
        variance = self.variance_at(kl_weight)
        if self.eigenvalues is None or not variance or kl_weight == 0:
            return None
        return linear_vae(self.eigenvalues, self.latent_dim, kl_weight, variance).kl_per_unit


def forecast(moments: PixelMoments | MomentsOfMany, likelihood: Likelihood, latent_dim: int) -> Forecast | NoForecast:
    """Return what the training images let live, by what a likelihood says of its score."""
    n = max(latent_dim, LEAST_DIRECTIONS)
    if likelihood.least_variance is not None:
        return _of_learned_variance(moments, likelihood.least_variance, latent_dim, n)
    if likelihood.variance is not None:
        return _of_one_variance(moments, likelihood.variance, latent_dim, n)
    try:
        if likelihood.why_no_score:
            return NoForecast(likelihood.why_no_score)
        code_free = best_code_free(moments, likelihood)
        found = _of_any(moments, code_free, latent_dim, n)
        return found._replace(greatest_gain=greatest_gain(moments, code_free))
    except UserError as error:
        return NoForecast(str(error))


def _of_one_variance(moments: PixelMoments | MomentsOfMany, variance: float, latent_dim: int, n: int) -> Forecast:
    eigenvalues, held_out = moments.leading(n), moments.held_out(n)
    return Forecast(
        eigenvalues / variance,
        latent_dim,
        eigenvalues,
        variance,
        held_out.scaled(1 / variance) if held_out else None,
        greatest_gain=gaussian_gain(float(moments.variance.sum()), variance),
    )


def _of_learned_variance(moments: PixelMoments | MomentsOfMany, least: float, latent_dim: int, n: int) -> Forecast:
    """Return the forecast where sigma^2 follows from the units that live."""
    eigenvalues, held_out = moments.leading(n), moments.held_out(n)
    total, n_pixels = float(moments.variance.sum()), len(moments.mean)

    def critical(values: PerDirection) -> PerDirection:
        return torch.minimum(learned_critical_weights(values, total, n_pixels), values / least)

    if held_out is not None:
        held_out = held_out.scaled(critical(held_out.values) / held_out.values.clamp_min(TINY))
    return Forecast(critical(eigenvalues), latent_dim, eigenvalues, None, held_out, least, total, n_pixels)


def _of_any(moments: PixelMoments | MomentsOfMany, code_free: CodeFree, latent_dim: int, n: int) -> Forecast:
    if (score := code_free.linear) is not None:
        varies = moments.variance > 0  # the decoder knows the others without a code
        scale = torch.zeros_like(moments.mean)
        of_those = (score.curvature / score.slope.square()).to(scale)[varies]
        scale[varies] = floored(of_those, moments.n_images).rsqrt()
        return Forecast(moments.leading(n, scale), latent_dim, None, None, moments.held_out(n, scale))
    rows, unpriced = scores_of(moments, code_free)
    held_out = held_out_by_rows(rows, n) if len(rows) >= FEWEST_ROWS else None
    eigenvalues = without_rounding(leading_of_rows(rows, n)[0])
    return Forecast(eigenvalues, latent_dim, None, None, held_out, unpriced=unpriced)


def floored(variance: PerPixel, n_images: int) -> PerPixel:
    """Return F per pixel, at least what ten of ``n_images`` would show of the liveliest pixel's.

    A pixel that hardly an image shows has a variance near 0, and one image that shows it would seem to pay for a unit.
    """
    return torch.maximum(variance, variance.max() * min(1.0, FEWEST_IMAGES / n_images))
