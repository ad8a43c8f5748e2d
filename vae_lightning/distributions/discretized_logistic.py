"""Pixels as the 256 grey values they are: a logistic distribution summed over each bin (Salimans et al. 2017)."""

import math

import torch
from torch import Generator, nn
from torch.nn.functional import logsigmoid

from vae_lightning.distributions.arithmetic import at_least_float32
from vae_lightning.distributions.gaussian import IMAGE_DIMS
from vae_lightning.distributions.likelihood import LikelihoodFacts
from vae_lightning.distributions.shapes import Means, PerImage, Pixels, SampledValues
from vae_lightning.ranges import Positive

STEPS = 255
"""Grey values are k / 255, k = 0 .. 255; the bin of k ends half a step below and above it."""


class DiscretizedLogisticLikelihood(LikelihoodFacts, nn.Module):
    """P(x = k/255) = S((k + 1/2)/255) - S((k - 1/2)/255), S the logistic cdf of a location and one learned scale.

    The first and the last bin reach to infinity (Salimans et al. 2017, section 2.1; the scale as in Kingma et al.
    2016). The decoder's values are locations, free to leave [0, 1]: a location far below 0 is a pixel surely black.
    These are probabilities, not densities: their nats compare with other likelihoods only after adding 784 ln 255.
    """

    variance = None
    needs_unit_interval = True

    def __init__(self, *, initial_scale: Positive) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(initial_scale)))

    def mean(self, values: Means) -> Means:
        """Return the mean as the sum over k of P(x >= k/255) / 255, one grey value at a time to bound the memory."""
        values = at_least_float32(values)
        per_scale = torch.exp(-self.log_scale.detach()).to(values.dtype)
        total = torch.zeros_like(values)
        for k in range(1, STEPS + 1):
            total += torch.sigmoid((values - (k - 0.5) / STEPS) * per_scale)
        return total / STEPS

    def sample(self, values: Means, generator: Generator) -> Means:
        values = at_least_float32(values)
        uniform = torch.rand(values.shape, generator=generator, device=values.device, dtype=values.dtype)
        continuous = values + self.log_scale.detach().exp() * torch.logit(uniform)
        return (continuous * STEPS).round().clamp(0, STEPS) / STEPS

    def log_prob(self, pixels: Pixels, values: SampledValues) -> PerImage:
        """Return log P(x|z). Pixels that are no grey value are counted in the bin in which they lie."""
        values = at_least_float32(values)
        per_scale = torch.exp(-self.log_scale)
        bins = (pixels * STEPS).round()
        first, last = bins == 0, bins == STEPS
        below_upper = logsigmoid(((bins + 0.5) / STEPS - values) * per_scale)
        above_lower = logsigmoid((values - (bins - 0.5) / STEPS) * per_scale)
        # S(a) - S(b) = S(a) S(-b) (1 - e^-(a - b)), with a - b the width of a bin in scales.
        width = torch.log(-torch.expm1(-per_scale / STEPS))
        log_p = torch.where(last, 0.0, below_upper) + torch.where(first, 0.0, above_lower)
        return (log_p + torch.where(first | last, 0.0, width)).sum(IMAGE_DIMS)

    def greatest_log_prob(self, pixels: Pixels) -> PerImage:
        """Return 0: they are probabilities."""
        return pixels.new_zeros(len(pixels))
