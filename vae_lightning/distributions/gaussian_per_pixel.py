"""Gaussian pixels whose variances the network gives, one per pixel. In nats per image."""

import torch
from torch import Generator

from vae_lightning.distributions.arithmetic import at_least_float32
from vae_lightning.distributions.gaussian import IMAGE_DIMS, Mean, normal_sample, pixel_mean, soft_lower_bound
from vae_lightning.distributions.likelihood import LikelihoodFacts
from vae_lightning.distributions.prior import LOG_2PI
from vae_lightning.distributions.shapes import Means, PerImage, Pixels, SampledValues, Values
from vae_lightning.ranges import Finite


class GaussianPerPixelLikelihood(LikelihoodFacts):
    """Independent N(mean, sigma^2) per pixel, both from the network (Kingma & Welling 2013, appendix C.2).

    The decoder's first channels are the means, the others ln sigma. Without the soft lower bound ``min_log_sigma``, a
    pixel that never varies has no largest density.
    """

    variance = None
    values_per_pixel = 2

    def __init__(self, *, min_log_sigma: Finite, mean: Mean) -> None:
        self.squash = mean
        self.min_log_sigma = min_log_sigma

    @property
    def means_in_unit_interval(self) -> bool:  # type: ignore[override]
        return self.squash == "sigmoid"

    def mean(self, values: Values) -> Means:
        return pixel_mean(values.chunk(2, dim=-3)[0], self.squash)

    def log_variance(self, values: Values) -> Means:
        return 2 * soft_lower_bound(at_least_float32(values.chunk(2, dim=-3)[1]), self.min_log_sigma)

    def sample(self, values: Values, generator: Generator) -> Means:
        return normal_sample(self.mean(values), self.log_variance(values).exp(), generator)

    def log_prob(self, pixels: Pixels, values: SampledValues) -> PerImage:
        log_variance = self.log_variance(values)
        standardised = (pixels - self.mean(values)).square() * torch.exp(-log_variance)
        return -0.5 * (standardised + log_variance + LOG_2PI).sum(IMAGE_DIMS)
