"""What turns scores into units in which the curvature is 1: the KL weights are then plain eigenvalues."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

NO_CURVATURE = 1e-6
"""Of a pixel's own scale: a change of its values with less costs nothing."""
TINY = 1e-30
Blocks = Float[Tensor, "v v pixels"]


def whitening_blocks(curvature: Blocks) -> tuple[Float[Tensor, "pixels v v"], Bool[Tensor, "pixels v"]]:
    """Return W of each pixel, W J W' = I, and which of its rows have a curvature.

    A row without is the change itself, in units of the pixel's own scale: its score is 0 where it is a gauge, as a
    common shift of logits.
    """
    blocks = (curvature + curvature.transpose(0, 1)).permute(2, 0, 1) / 2
    size = blocks.diagonal(dim1=1, dim2=2).abs().clamp_min(TINY).rsqrt()
    values, vectors = torch.linalg.eigh(size.unsqueeze(2) * blocks * size.unsqueeze(1))
    priced = values > NO_CURVATURE
    scale = torch.where(priced, values.clamp_min(NO_CURVATURE).rsqrt(), 1.0)
    return scale.unsqueeze(2) * (size.unsqueeze(2) * vectors).transpose(1, 2), priced
