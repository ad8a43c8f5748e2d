"""What the decoder's values mean: p(x|z) per pixel, in nats per image.

Each likelihood maps the decoder's unbounded values to a pixel mean and to log p(x|z) summed over the pixels. Values
may have leading sample dimensions that the images lack.
"""

import math
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from vae_lightning.distributions.precision import at_least_float32

IMAGE_DIMS = (-3, -2, -1)


class GaussianLikelihood:
    """Independent N(mean, variance) per pixel with one fixed variance (Kingma & Welling 2013, appendix C.2).

    Up to a constant, -log p(x|z) = sum (x - mean)^2 / (2 variance): variance 1/2 is the plain sum of squares, and
    what other code calls a mean squared error over D pixels is variance D/2.

    Args:
        variance: sigma^2, in squared units of a pixel.
        mean: ``sigmoid`` keeps the mean of an image in [0, 1]; ``identity`` leaves it free (the linear VAE).
    """

    def __init__(
        self, *, variance: Annotated[float, Field(gt=0, allow_inf_nan=False)], mean: Literal["sigmoid", "identity"]
    ) -> None:
        self.variance = variance
        self.squash = mean == "sigmoid"

    def mean(
        self, values: Float[Tensor, "*batch channels height width"]
    ) -> Float[Tensor, "*batch channels height width"]:
        values = at_least_float32(values)
        return torch.sigmoid(values) if self.squash else values

    def log_prob(
        self,
        pixels: Float[Tensor, "batch channels height width"],
        values: Float[Tensor, "*samples batch channels height width"],
    ) -> Float[Tensor, "*samples batch"]:
        squared_error = (pixels - self.mean(values)).square().sum(IMAGE_DIMS)
        n_pixels = math.prod(pixels.shape[1:])
        return -0.5 * (squared_error / self.variance + n_pixels * math.log(2 * math.pi * self.variance))


class BernoulliLikelihood:
    """Independent Bernoulli per pixel, the decoder's values being logits. Exact for binary pixels.

    For grey pixels in (0, 1) it is the customary cross-entropy, not a normalised density.
    """

    variance = None
    """It has no variance of its own choosing, so kl_weight x sigma^2 is not defined."""

    def mean(
        self, values: Float[Tensor, "*batch channels height width"]
    ) -> Float[Tensor, "*batch channels height width"]:
        return torch.sigmoid(at_least_float32(values))

    def log_prob(
        self,
        pixels: Float[Tensor, "batch channels height width"],
        values: Float[Tensor, "*samples batch channels height width"],
    ) -> Float[Tensor, "*samples batch"]:
        targets = pixels.expand_as(values)
        return -binary_cross_entropy_with_logits(at_least_float32(values), targets, reduction="none").sum(IMAGE_DIMS)
