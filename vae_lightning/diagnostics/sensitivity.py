"""What the decoder reads: how its image changes with each unit, and whether it changes at all."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Decode = Callable[[Float[Tensor, "codes latent"]], Float[Tensor, "codes channels height width"]]
"""Codes to mean images."""


class Sensitivity(NamedTuple):
    """Of a decoder over codes from the prior."""

    per_unit: Float[Tensor, " latent"]
    """E |xh(z) - xh(z with z_i redrawn)|^2, in squared units of a pixel; 2 gain^2 for a linear decoder."""
    paid_per_unit: Float[Tensor, " latent"]
    """Half of it, each pixel divided by its F: in nats; gain^2 / sigma^2 for a linear decoder. Zeros where F is
    unknown."""
    output_variance_ratio: float
    """Variance of xh(z) over that of the data, summed over pixels: 0 where there is one image whatever the code."""


@torch.no_grad()
def decoder_sensitivity(
    decode: Decode,
    codes: Float[Tensor, "codes latent"],
    redrawn: Float[Tensor, "codes latent"],
    pixel_variance: Float[Tensor, " pixels"] | None,
    data_variance: float,
) -> Sensitivity:
    """Measure a decoder.

    Args:
        decode: codes to mean images.
        codes: drawn from the prior.
        redrawn: drawn from it again, independently.
        pixel_variance: F, the decoder's own variance per pixel, where it is known.
        data_variance: of the images, summed over pixels.
    """
    images = decode(codes).flatten(1).double()
    changes = []
    for unit in range(codes.shape[1]):
        other = codes.clone()
        other[:, unit] = redrawn[:, unit]
        changes.append((decode(other).flatten(1).double() - images).square().mean(0))
    change = torch.stack(changes)
    paid = (change / pixel_variance).sum(1) / 2 if pixel_variance is not None else 0 * change.sum(1)
    output_variance = float((images - images.mean(0)).square().mean(0).sum())
    return Sensitivity(change.sum(1), paid, output_variance / data_variance if data_variance else 0.0)
