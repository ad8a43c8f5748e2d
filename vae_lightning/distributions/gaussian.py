"""Gaussian pixels with one variance for all of them: fixed, learned, or the batch's own. In nats per image.

Values may have leading sample dimensions that the images lack.
"""

import math
from abc import ABC, abstractmethod
from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from vae_lightning.distributions.arithmetic import AnyShape, at_least_float32, update_running_mean
from vae_lightning.distributions.likelihood import LikelihoodFacts
from vae_lightning.distributions.prior import LOG_2PI
from vae_lightning.distributions.shapes import Means, PerImage, PerPixel, Pixels, SampledValues
from vae_lightning.ranges import Finite, Positive
from vae_lightning.ranks import mean_over_ranks

IMAGE_DIMS = (-3, -2, -1)
Mean = Literal["sigmoid", "identity"]
SigmaSquared = float | Float[Tensor, ""]


def pixel_mean(values: AnyShape, mean: Mean) -> AnyShape:
    """Return the decoder's values as means: ``sigmoid`` keeps them in [0, 1], ``identity`` leaves them free."""
    values = at_least_float32(values)
    return torch.sigmoid(values) if mean == "sigmoid" else values


def values_of_pixel_mean(means: AnyShape, mean: Mean) -> AnyShape:
    """Return what :func:`pixel_mean` takes to these means."""
    means = at_least_float32(means)
    return torch.logit(means, eps=1e-7) if mean == "sigmoid" else means


def soft_lower_bound(log_sigma: AnyShape, least: float) -> AnyShape:
    """Bound from below without ever losing the gradient (Rybkin et al. 2021, section 4)."""
    return least + torch.nn.functional.softplus(log_sigma - least)


def raw_of_soft_bound(log_sigma: float, least: float) -> float:
    """Return what :func:`soft_lower_bound` takes to a ``log_sigma`` above ``least``: ln(e^above - 1) + least."""
    above = log_sigma - least
    return above + math.log(-math.expm1(-above)) + least


def normal_sample(mean: Tensor, variance: float | Tensor, generator: Generator) -> Tensor:
    noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
    return mean + variance**0.5 * noise


class OneVarianceGaussian(LikelihoodFacts, ABC):
    """Independent N(mean, sigma^2) per pixel. The kinds below differ in where the one sigma^2 comes from."""

    score_is_natural = True
    squash: Mean

    @property
    def means_in_unit_interval(self) -> bool:  # type: ignore[override]
        return self.squash == "sigmoid"

    @property
    @abstractmethod
    def sigma_squared(self) -> SigmaSquared:
        """Return the variance as it is now, in squared units of a pixel."""

    def sigma_squared_of(self, error: PerImage, n_pixels: int) -> SigmaSquared:
        """Return the variance by which a batch with these squared errors per image is judged."""
        return self.sigma_squared

    def mean(self, values: AnyShape) -> AnyShape:
        return pixel_mean(values, self.squash)

    def values_of_mean(self, means: AnyShape) -> AnyShape:
        return values_of_pixel_mean(means, self.squash)

    def sample(self, values: Means, generator: Generator) -> Means:
        return normal_sample(self.mean(values), self.sigma_squared, generator)

    def score_and_curvature(self, pixels: PerPixel, values: PerPixel) -> tuple[PerPixel, PerPixel]:
        """Return both in the natural parameter mean / sigma^2, the mean as it is after the squash."""
        error = pixels - self.mean(values)
        return error, torch.ones_like(error) * self.sigma_squared

    def log_prob(self, pixels: Pixels, values: SampledValues) -> PerImage:
        error = (pixels - self.mean(values)).square().sum(IMAGE_DIMS)
        n_pixels = math.prod(pixels.shape[1:])
        variance = self.sigma_squared_of(error, n_pixels)
        log_variance = variance.log() if isinstance(variance, Tensor) else math.log(variance)
        return -0.5 * (error / variance + n_pixels * (LOG_2PI + log_variance))


class GaussianLikelihood(OneVarianceGaussian):
    """N(mean, variance) per pixel with one fixed variance (Kingma & Welling 2013, appendix C.2).

    Up to a constant, -log p(x|z) = sum (x - mean)^2 / (2 variance): variance 1/2 is the plain sum of squares, and
    what other code calls a mean squared error over D pixels is variance D/2.
    """

    loss_elsewhere = "squared_error"

    def __init__(self, *, variance: Positive, mean: Mean) -> None:
        self.variance = variance
        self.squash = mean

    @property
    def sigma_squared(self) -> float:
        return self.variance

    def greatest_log_prob(self, pixels: Pixels) -> PerImage:
        """Return that of a decoder whose means are the pixels."""
        n_pixels = math.prod(pixels.shape[1:])
        return pixels.new_full((len(pixels),), -0.5 * n_pixels * (LOG_2PI + math.log(self.variance)))


class GaussianLearnedLikelihood(OneVarianceGaussian, nn.Module):
    """N(mean, sigma^2) per pixel, sigma one learned number (sigma-VAE: Rybkin et al. 2021, section 4).

    ``min_log_sigma`` bounds ln sigma softly from below.
    """

    def __init__(self, *, initial_variance: Positive, min_log_sigma: Finite, mean: Mean) -> None:
        super().__init__()
        self.squash = mean
        self.min_log_sigma = min_log_sigma
        self.least_variance = math.exp(2 * min_log_sigma)
        log_sigma = 0.5 * math.log(initial_variance)
        if log_sigma <= min_log_sigma:
            raise ValueError(f"initial_variance={initial_variance:g} is not above exp(2 min_log_sigma)")
        self.raw_log_sigma = nn.Parameter(torch.tensor(raw_of_soft_bound(log_sigma, min_log_sigma)))

    @property
    def sigma_squared(self) -> Float[Tensor, ""]:
        return torch.exp(2 * soft_lower_bound(self.raw_log_sigma, self.min_log_sigma))

    @property
    def variance(self) -> float:
        return float(self.sigma_squared.detach())


class GaussianOptimalLikelihood(OneVarianceGaussian, nn.Module):
    """N(mean, sigma^2) per pixel, sigma^2 the batch's mean squared error (Rybkin et al. 2021, eq. 6).

    That sigma^2 is the best one for the batch's ELBO, so no gradient goes through it: at an optimum there is none. The
    batch is the global one, all samples of it. Held-out images are judged by the running mean over training batches,
    so that their numbers do not depend on how they are batched.
    """

    least_variance: float
    running_variance: Tensor
    n_seen: Tensor

    def __init__(self, *, min_log_sigma: Finite, mean: Mean) -> None:
        super().__init__()
        self.squash = mean
        self.least_variance = math.exp(2 * min_log_sigma)
        self.register_buffer("running_variance", torch.tensor(1.0))
        self.register_buffer("n_seen", torch.tensor(0))

    @property
    def sigma_squared(self) -> Float[Tensor, ""]:
        return self.running_variance

    @property
    def variance(self) -> float | None:
        return float(self.running_variance) if self.n_seen else None  # before the first batch there is none

    @torch.no_grad()
    def sigma_squared_of(self, error: PerImage, n_pixels: int) -> Float[Tensor, ""]:
        if not self.training:
            return self.running_variance
        variance = mean_over_ranks(error.mean() / n_pixels).clamp_min(self.least_variance)
        self.n_seen.add_(1)
        update_running_mean(self.running_variance, variance, self.n_seen)
        return variance
