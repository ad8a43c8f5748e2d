"""Counts that vary more than Poisson's: a negative binomial whose log means the decoder gives."""

import math

import torch
from torch import Generator, nn
from torch.nn.functional import logsigmoid

from vae_lightning.distributions.arithmetic import at_least_float32
from vae_lightning.distributions.gaussian import IMAGE_DIMS
from vae_lightning.distributions.likelihood import LikelihoodFacts
from vae_lightning.distributions.poisson import greatest_of_poisson
from vae_lightning.distributions.shapes import Means, PerImage, PerPixel, Pixels, SampledValues
from vae_lightning.ranges import Positive


class NegativeBinomialLikelihood(LikelihoodFacts, nn.Module):
    """Independent counts of mean mu and variance mu + mu^2 / r: ln mu from the decoder, r one learned number.

    It is a Poisson whose rate is drawn from a Gamma of shape r (Lopez et al. 2018, there with one r per gene); as r
    grows it becomes a Poisson of rate mu. With p = mu / (r + mu) = S(ln mu - ln r), S the logistic function,

        log p(x|z) = lnG(x + r) - lnG(r) - lnG(x + 1) + r ln(1 - p) + x ln p,

    whose score in ln mu is x (1 - p) - r p and whose curvature is (x + r) p (1 - p). The encoder is shown ln(1 + x).
    """

    variance = None
    needs_counts = True

    def __init__(self, *, initial_dispersion: Positive) -> None:
        super().__init__()
        self.log_dispersion = nn.Parameter(torch.tensor(math.log(initial_dispersion)))

    def seen_by_encoder(self, pixels: Pixels) -> Pixels:
        return torch.log1p(pixels)

    def mean(self, values: Means) -> Means:
        return at_least_float32(values).exp()

    def values_of_mean(self, means: Means) -> Means:
        means = at_least_float32(means)
        return means.clamp_min(torch.finfo(means.dtype).tiny).log()

    def sample(self, values: Means, generator: Generator) -> Means:
        mean, r = self.mean(values), self.log_dispersion.detach().exp()
        gamma = torch._standard_gamma(r.to(mean).expand_as(mean), generator=generator)
        return torch.poisson(mean * gamma / r, generator=generator)

    def log_prob(self, pixels: Pixels, values: SampledValues) -> PerImage:
        logit = at_least_float32(values) - self.log_dispersion
        r = self.log_dispersion.exp()
        # In 64 bits: of large r or x these are large numbers of a small difference.
        x, shape = pixels.double(), r.double()
        ways = torch.lgamma(x + shape) - torch.lgamma(shape) - torch.lgamma(x + 1)
        return (ways.to(logit.dtype) + r * logsigmoid(-logit) + pixels * logsigmoid(logit)).sum(IMAGE_DIMS)

    def score_and_curvature(self, pixels: PerPixel, values: PerPixel) -> tuple[PerPixel, PerPixel]:
        log_r = self.log_dispersion.detach()
        logit, r = at_least_float32(values) - log_r, log_r.exp()
        p, q = torch.sigmoid(logit), torch.sigmoid(-logit)
        return pixels * q - r * p, (pixels + r) * p * q

    def greatest_log_prob(self, pixels: Pixels) -> PerImage:
        """Return that of a Poisson whose rates are the counts: a mixture of Poissons is nowhere above the best one."""
        return greatest_of_poisson(pixels)
