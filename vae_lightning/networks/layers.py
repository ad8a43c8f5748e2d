"""What every network of ours is: layers in a row, from images to outputs or from codes to values."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

Shape = tuple[int, int, int]


class LayersOfImages(nn.Module):
    """Images to ``n_outputs`` posterior parameters."""

    draws = False

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, pixels: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:
        outputs: Tensor = self.layers(pixels)
        return outputs


class LayersOfCodes(nn.Module):
    """Latent codes to unbounded values per pixel."""

    draws = False

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, codes: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch values height width"]:
        values: Tensor = self.layers(codes)
        return values


def joined(outputs: Tensor | tuple[Tensor, ...]) -> Tensor:
    """Return an encoder's outputs as one tensor: one that gives a tuple, as (mean, log variance), has them joined."""
    return torch.cat(outputs, dim=-1) if isinstance(outputs, tuple) else outputs
