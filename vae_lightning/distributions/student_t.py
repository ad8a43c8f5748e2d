"""Real pixels with outliers: Student's t around the decoder's values, with one learned scale. In nats per image."""

import math

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from vae_lightning.distributions.arithmetic import AnyShape
from vae_lightning.distributions.gaussian import (
    IMAGE_DIMS,
    Mean,
    pixel_mean,
    raw_of_soft_bound,
    soft_lower_bound,
    values_of_pixel_mean,
)
from vae_lightning.distributions.likelihood import LikelihoodFacts
from vae_lightning.distributions.shapes import Means, PerImage, PerPixel, Pixels, SampledValues
from vae_lightning.distributions.standard_noise import DegreesOfFreedom, student_t_noise
from vae_lightning.ranges import Finite, Positive


class StudentTLikelihood(LikelihoodFacts, nn.Module):
    """x = location + s t per pixel, t Student's with nu degrees of freedom; ln s learned, softly above a bound.

    With e = x - location, log p(x|z) = const(nu) - ln s - (nu + 1)/2 ln(1 + e^2 / (nu s^2)). An outlier weighs less
    the further out it is (Lange et al. 1989): the score in the location is (nu + 1) e / (nu s^2 + e^2), and the
    curvature (nu + 1)(nu s^2 - e^2) / (nu s^2 + e^2)^2, below 0 where |e| > s sqrt(nu). The location is taken after
    the squash ``mean``, as a Gaussian's mean is. Its spread is no Gaussian's sigma^2: ``variance`` is None.
    """

    variance = None

    def __init__(
        self, *, degrees_of_freedom: DegreesOfFreedom, initial_scale: Positive, min_log_scale: Finite, mean: Mean
    ) -> None:
        super().__init__()
        self.squash = mean
        self.degrees_of_freedom = degrees_of_freedom
        self.noise = student_t_noise(degrees_of_freedom=degrees_of_freedom)
        self.min_log_scale = min_log_scale
        if math.log(initial_scale) <= min_log_scale:
            raise ValueError(f"initial_scale={initial_scale:g} is not above exp(min_log_scale)")
        self.raw_log_scale = nn.Parameter(torch.tensor(raw_of_soft_bound(math.log(initial_scale), min_log_scale)))

    @property
    def means_in_unit_interval(self) -> bool:  # type: ignore[override]
        return self.squash == "sigmoid"

    @property
    def log_scale(self) -> Float[Tensor, ""]:
        """Return ln s as it is now."""
        return soft_lower_bound(self.raw_log_scale, self.min_log_scale)

    def mean(self, values: AnyShape) -> AnyShape:
        """Return the location, which is E[x|z]."""
        return pixel_mean(values, self.squash)

    def values_of_mean(self, means: AnyShape) -> AnyShape:
        return values_of_pixel_mean(means, self.squash)

    def sample(self, values: Means, generator: Generator) -> Means:
        location = self.mean(values)
        return location + self.log_scale.detach().exp() * self.noise.draw(tuple(location.shape), generator)

    def log_prob(self, pixels: Pixels, values: SampledValues) -> PerImage:
        log_scale = self.log_scale
        standardised = (pixels - self.mean(values)) * torch.exp(-log_scale)
        return (self.noise.log_prob(standardised) - log_scale).sum(IMAGE_DIMS)

    def score_and_curvature(self, pixels: PerPixel, values: PerPixel) -> tuple[PerPixel, PerPixel]:
        nu, error = self.degrees_of_freedom, pixels - self.mean(values)
        spread, square = nu * torch.exp(2 * self.log_scale.detach()), error.square()
        total = spread + square
        return (nu + 1) * error / total, (nu + 1) * (spread - square) / total.square()
