"""Pixels that are classes: the decoder gives the logits of each."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Generator, Tensor

from vae_lightning.distributions.arithmetic import at_least_float32
from vae_lightning.distributions.gaussian import IMAGE_DIMS
from vae_lightning.distributions.likelihood import LikelihoodFacts
from vae_lightning.distributions.shapes import Means, PerImage, Pixels, SampledValues, Values
from vae_lightning.distributions.standard_noise import exponential

CLASS_DIM = -4
LogProbabilities = Float[Tensor, "*batch classes channels height width"]


class CategoricalLikelihood(LikelihoodFacts):
    """log p(x|z) = v_x - ln sum_k e^(v_k) per pixel, x one of the classes 0 .. K - 1 and v the decoder's K logits.

    The first channels of the values are the logits of class 0, the next those of class 1, and so on: a softmax for each
    pixel (van den Oord et al. 2016, section 2). The encoder is shown x / (K - 1).
    """

    variance = None
    needs_counts = True

    def __init__(self, *, n_classes: Annotated[int, Field(ge=2)]) -> None:
        self.values_per_pixel = n_classes
        self.largest_count = n_classes - 1

    def seen_by_encoder(self, pixels: Pixels) -> Pixels:
        return pixels / (self.values_per_pixel - 1)

    def log_probabilities(self, values: Values) -> LogProbabilities:
        """Return the log probability of each class, in nats."""
        logits = at_least_float32(values).unflatten(-3, (self.values_per_pixel, -1))
        return torch.log_softmax(logits, CLASS_DIM)

    def mean(self, values: Values) -> Means:
        """Return the expected index of the class."""
        probabilities = self.log_probabilities(values).exp()
        classes = torch.arange(self.values_per_pixel, device=values.device, dtype=probabilities.dtype)
        return (probabilities * classes.reshape(-1, 1, 1, 1)).sum(CLASS_DIM)

    def sample(self, values: Values, generator: Generator) -> Means:
        """Draw indices as the winners of exponential races: of clocks with rates p_k, clock k rings first with p_k."""
        log_p = self.log_probabilities(values)
        clocks = exponential(tuple(log_p.shape), generator).log() - log_p
        return clocks.argmin(CLASS_DIM).to(log_p.dtype)

    def log_prob(self, pixels: Pixels, values: SampledValues) -> PerImage:
        """Return log P(x|z). Pixels that are no whole numbers count as the nearest class."""
        log_p = self.log_probabilities(values)
        classes = pixels.round().long().unsqueeze(CLASS_DIM)
        of_samples = classes.expand(*log_p.shape[:CLASS_DIM], *classes.shape[CLASS_DIM:])
        return log_p.gather(CLASS_DIM, of_samples).squeeze(CLASS_DIM).sum(IMAGE_DIMS)

    def greatest_log_prob(self, pixels: Pixels) -> PerImage:
        """Return 0: they are probabilities."""
        return pixels.new_zeros(len(pixels))
