"""Counts whose log rates the decoder gives."""

import torch
from torch import Generator

from vae_lightning.distributions.arithmetic import at_least_float32
from vae_lightning.distributions.gaussian import IMAGE_DIMS
from vae_lightning.distributions.likelihood import LikelihoodFacts
from vae_lightning.distributions.shapes import Means, PerImage, PerPixel, Pixels, SampledValues


class PoissonLikelihood(LikelihoodFacts):
    """Independent Poisson counts, the decoder's values being their log rates: the natural parameters.

    log p(x|z) = x eta - e^eta - ln x!, whose score in eta is x - e^eta and whose curvature is e^eta. The encoder is
    shown ln(1 + x), as in scVI (Lopez et al. 2018): raw counts of hundreds would give variances beyond all numbers.
    """

    variance = None
    needs_counts = True
    score_is_natural = True

    def seen_by_encoder(self, pixels: Pixels) -> Pixels:
        return torch.log1p(pixels)

    def mean(self, values: Means) -> Means:
        return at_least_float32(values).exp()

    def values_of_mean(self, means: Means) -> Means:
        means = at_least_float32(means)
        return means.clamp_min(torch.finfo(means.dtype).tiny).log()

    def sample(self, values: Means, generator: Generator) -> Means:
        return torch.poisson(self.mean(values), generator=generator)

    def log_prob(self, pixels: Pixels, values: SampledValues) -> PerImage:
        values = at_least_float32(values)
        return (pixels * values - values.exp() - torch.lgamma(pixels + 1)).sum(IMAGE_DIMS)

    def score_and_curvature(self, pixels: PerPixel, values: PerPixel) -> tuple[PerPixel, PerPixel]:
        rate = at_least_float32(values).exp()
        return pixels - rate, rate

    def greatest_log_prob(self, pixels: Pixels) -> PerImage:
        """Return that of a decoder whose rates are the counts."""
        return greatest_of_poisson(pixels)


def greatest_of_poisson(counts: Pixels) -> PerImage:
    """Return log P of counts under Poissons whose rates they are, summed over pixels."""
    return (torch.xlogy(counts, counts) - counts - torch.lgamma(counts + 1)).sum(IMAGE_DIMS)
