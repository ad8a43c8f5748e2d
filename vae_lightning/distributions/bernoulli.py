"""Pixels in [0, 1] with one natural parameter each, the decoder's value: Bernoulli and continuous Bernoulli."""

import torch
from torch import Generator
from torch.nn.functional import binary_cross_entropy_with_logits

from vae_lightning.distributions.arithmetic import AnyShape, at_least_float32
from vae_lightning.distributions.gaussian import IMAGE_DIMS
from vae_lightning.distributions.likelihood import LikelihoodFacts
from vae_lightning.distributions.shapes import Means, PerImage, PerPixel, Pixels, SampledValues

NEAREST = 1e-7
"""How near a mean may come to 0 or 1: about as near as a float32 below 1."""


class BernoulliLikelihood(LikelihoodFacts):
    """Independent Bernoulli per pixel, the decoder's values being logits. Exact for binary pixels.

    For grey pixels in (0, 1) it is the customary cross-entropy, not a normalised density.
    """

    variance = None
    needs_unit_interval = True
    is_binary = True
    loss_elsewhere = "cross_entropy"
    score_is_natural = True

    def mean(self, values: Means) -> Means:
        return torch.sigmoid(at_least_float32(values))

    def values_of_mean(self, means: Means) -> Means:
        """Return the logits; those of 0 and 1 are as large as a float32's sigmoid can tell."""
        return torch.logit(at_least_float32(means), eps=NEAREST)

    def sample(self, values: Means, generator: Generator) -> Means:
        return torch.bernoulli(self.mean(values), generator=generator)

    def log_prob(self, pixels: Pixels, values: SampledValues) -> PerImage:
        targets = pixels.expand_as(values)
        return -binary_cross_entropy_with_logits(at_least_float32(values), targets, reduction="none").sum(IMAGE_DIMS)

    def score_and_curvature(self, pixels: PerPixel, values: PerPixel) -> tuple[PerPixel, PerPixel]:
        mean = torch.sigmoid(at_least_float32(values))
        return pixels - mean, mean * (1 - mean)

    def greatest_log_prob(self, pixels: Pixels) -> PerImage:
        """Return that of a decoder whose means are the pixels: minus their entropies, 0 where they are binary."""
        return (torch.xlogy(pixels, pixels) + torch.xlogy(1 - pixels, 1 - pixels)).sum(IMAGE_DIMS)


class ContinuousBernoulliLikelihood(LikelihoodFacts):
    """Density exp(eta x - A(eta)) on [0, 1] per pixel, eta the decoder's value (Loaiza-Ganem & Cunningham 2019).

    A(eta) = ln((e^eta - 1) / eta): the Bernoulli's cross-entropy with the normaliser that grey pixels need.
    """

    variance = None
    needs_unit_interval = True
    needs_grey_pixels = True
    score_is_natural = True

    def mean(self, values: Means) -> Means:
        return continuous_bernoulli_mean(at_least_float32(values))

    def sample(self, values: Means, generator: Generator) -> Means:
        values = at_least_float32(values)
        uniform = torch.rand(values.shape, generator=generator, device=values.device, dtype=values.dtype)
        return continuous_bernoulli_quantile(uniform, values)

    def log_prob(self, pixels: Pixels, values: SampledValues) -> PerImage:
        values = at_least_float32(values)
        return (values * pixels - log_normaliser(values)).sum(IMAGE_DIMS)

    def score_and_curvature(self, pixels: PerPixel, values: PerPixel) -> tuple[PerPixel, PerPixel]:
        values = at_least_float32(values)
        return pixels - continuous_bernoulli_mean(values), continuous_bernoulli_variance(values)


NEAR_ZERO = 0.1
"""Below this the closed forms lose digits, and the first terms of their series are exact to rounding."""


def log_normaliser(eta: AnyShape) -> AnyShape:
    """Return A(eta) = ln((e^eta - 1) / eta)."""
    near = eta.abs() < NEAR_ZERO
    size = torch.where(near, 1.0, eta).abs()
    far = torch.relu(eta) + torch.log(-torch.expm1(-size) / size)  # of |eta|, and A(-eta) = A(eta) - eta
    small = torch.where(near, eta, 0.0)
    square = small.square()
    return torch.where(near, small / 2 + square / 24 - square**2 / 2880 + square**3 / 181440, far)


def continuous_bernoulli_mean(eta: AnyShape) -> AnyShape:
    """Return A'(eta) = 1 / (1 - e^-eta) - 1 / eta."""
    near = eta.abs() < NEAR_ZERO
    far = torch.where(near, 1.0, eta)
    small = torch.where(near, eta, 0.0)
    series = 0.5 + small / 12 - small**3 / 720 + small**5 / 30240
    size = far.abs()
    upper = -1 / torch.expm1(-size) - 1 / size
    return torch.where(near, series, torch.where(far > 0, upper, 1 - upper))


def continuous_bernoulli_variance(eta: AnyShape) -> AnyShape:
    """Return A''(eta) = 1 / eta^2 - e^-|eta| / (1 - e^-|eta|)^2."""
    near = eta.abs() < NEAR_ZERO
    size = torch.where(near, 1.0, eta).abs()
    square = torch.where(near, eta, 0.0).square()
    series = 1 / 12 - square / 240 + square**2 / 6048 - square**3 / 172800
    return torch.where(near, series, size**-2 - torch.exp(-size) / torch.expm1(-size).square())


def continuous_bernoulli_quantile(share: AnyShape, eta: AnyShape) -> AnyShape:
    """Return where the cdf (e^(eta x) - 1) / (e^eta - 1) is ``share``. Torch's own clamps extreme parameters."""
    near = eta.abs() < 1e-6
    size = torch.where(near, 1.0, eta).abs()
    # By symmetry on the side where the density falls: x = ln(1 - u (1 - e^-|eta|)) / -|eta|.
    falling = torch.where(eta > 0, 1 - share, share)
    from_peak = -torch.log1p(falling * torch.expm1(-size)) / size
    return torch.where(near, share, torch.where(eta > 0, 1 - from_peak, from_peak)).clamp(0, 1)
