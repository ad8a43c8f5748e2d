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

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.distributions import Likelihood
from vae_lightning.theory.inverse import inverse_of_increasing
from vae_lightning.theory.linear_vae import learned_critical_weights, learned_variance, linear_vae
from vae_lightning.theory.moments import ROUNDING, MomentsOfMany, PerDirection, PerPixel, PixelMoments

FEWEST_IMAGES = 10
"""As many images must show what F says of a pixel."""
LARGEST_VALUE = 1e7
"""Where the decoder's value of a mean is looked for; one nearer than 1e-7 to its least or largest is taken there."""
LEAST_DIRECTIONS = 20
"""Looked at also where there are fewer latent units."""


def lives(critical_weight: float, kl_weight: float) -> bool:
    """Say whether a direction lives at a KL weight; one at its very threshold does not, whatever the rounding."""
    return critical_weight > kl_weight * (1 + ROUNDING)


class Forecast(NamedTuple):
    """What the spectrum of the data lets live."""

    critical_weights: PerDirection
    """The KL weight below which each direction can live, descending."""
    latent_dim: int
    eigenvalues: PerDirection | None
    """Of the data's covariance, where the decoder is a Gaussian of one variance: its linear model is then solved."""
    variance: float | None
    """That Gaussian's sigma^2; None where it is learned, or where there is none."""
    least_variance: float = 0.0
    """Below which a learned sigma^2 cannot fall."""
    total: float = 0.0
    """The trace of the data's covariance: of many pixels only the leading ``eigenvalues`` are known."""
    n_pixels: int = 0

    def active_units(self, kl_weight: float) -> int:
        """Return how many units survive: one per direction whose critical weight exceeds ``kl_weight``."""
        return min(self.latent_dim, sum(lives(weight, kl_weight) for weight in self.critical_weights.tolist()))

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


def forecast(moments: PixelMoments | MomentsOfMany, likelihood: Likelihood, latent_dim: int) -> Forecast | None:
    """Return the forecast, or None where the likelihood does not know its score, or has one that is not linear in x.

    Of a score that is linear in x, with slope k, the covariance is k Cov(x) k: the data's moments are all it takes.
    """
    if likelihood.why_no_score:
        return None
    n, total, n_pixels = max(latent_dim, LEAST_DIRECTIONS), float(moments.variance.sum()), len(moments.mean)
    if (least := likelihood.least_variance) is not None:  # sigma^2 follows from the units that live
        eigenvalues = moments.leading(n)
        weights = torch.minimum(learned_critical_weights(eigenvalues, total, n_pixels), eigenvalues / least)
        return Forecast(weights, latent_dim, eigenvalues, None, least, total, n_pixels)
    if (one_variance := likelihood.variance) is not None:
        eigenvalues = moments.leading(n)
        return Forecast(eigenvalues / one_variance, latent_dim, eigenvalues, one_variance)
    varies = moments.variance > 0  # the decoder knows the others without a code
    slope, curvature = _collapsed_score(likelihood, moments.mean[varies], float(moments.variance.max()) ** 0.5)
    if slope is None:
        return None
    scale = torch.zeros_like(moments.mean)
    scale[varies] = floored(curvature / slope.square(), moments.n_images).rsqrt()
    return Forecast(moments.leading(n, scale), latent_dim, None, None)


def _collapsed_score(likelihood: Likelihood, mean: PerPixel, step: float) -> tuple[PerPixel | None, PerPixel]:
    """Return the slope of the score in x, None where it is not linear, and the curvature, for a decoder without a code.

    Its best values are those at which the score of the mean is 0: of a linear score, where its mean is. Whether it is
    linear shows a ``step`` and two from the mean, where data are, on one side: a bent score may be alike on both.
    """
    values = inverse_of_increasing(
        lambda at: -likelihood.score_and_curvature(mean, at)[0], torch.zeros_like(mean), -LARGEST_VALUE, LARGEST_VALUE
    )
    scores = [likelihood.score_and_curvature(mean + n * step, values)[0] for n in (0.0, 1.0, 2.0)]
    rise = scores[2] - scores[0]
    linear, slope = torch.allclose(scores[1] - scores[0], rise / 2, atol=0), rise / (2 * step)
    return slope if linear else None, likelihood.score_and_curvature(mean, values)[1]


def floored(variance: PerPixel, n_images: int) -> PerPixel:
    """Return F per pixel, at least what ten of ``n_images`` would show of the liveliest pixel's.

    A pixel that hardly an image shows has a variance near 0, and one image that shows it would seem to pay for a unit.
    """
    return torch.maximum(variance, variance.max() * min(1.0, FEWEST_IMAGES / n_images))
