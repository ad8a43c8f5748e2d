"""Residual networks with group normalisation, which knows no batch: images do not depend on their neighbours."""

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae_lightning.networks.layers import LayersOfCodes, LayersOfImages, Shape
from vae_lightning.networks.sizes import depth_for, halvings, widths
from vae_lightning.ranges import Count

GROUPS = 8
"""Of channels that are normalised together."""
Features = Float[Tensor, "batch channels height width"]


class ResidualBlock(nn.Module):
    """x + f(x), f two normalised 3x3 convolutions after SiLU (He et al. 2016b); x by 1x1 to other channels."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.GroupNorm(math.gcd(GROUPS, n_in), n_in),
            nn.SiLU(),
            nn.Conv2d(n_in, n_out, 3, padding=1),
            nn.GroupNorm(math.gcd(GROUPS, n_out), n_out),
            nn.SiLU(),
            nn.Conv2d(n_out, n_out, 3, padding=1),
        )
        self.same = nn.Conv2d(n_in, n_out, 1) if n_in != n_out else nn.Identity()

    def forward(self, features: Features) -> Float[Tensor, "batch changed height width"]:
        changed: Tensor = self.same(features) + self.change(features)
        return changed


class ResNetEncoder(LayersOfImages):
    """A convolution, then at each size a residual block and a halving, then Linear to ``n_outputs``.

    Group normalisation knows no batch, so that images do not depend on their neighbours.
    """

    def __init__(self, image_shape: Shape, n_outputs: int, *, channels: Count, depth: Count | None) -> None:
        n_channels, *size = image_shape
        depth = depth_for(size, depth, "resnet")
        height, width = halvings(size, depth)[-1]
        wide = widths(channels, depth)
        layers: list[nn.Module] = [nn.Conv2d(n_channels, channels, 3, padding=1)]
        for n_in, n_out in pairwise(wide):
            layers += [ResidualBlock(n_in, n_out), nn.Conv2d(n_out, n_out, 3, stride=2, padding=1)]
        layers += [nn.SiLU(), nn.Flatten(), nn.Linear(wide[-1] * height * width, n_outputs)]
        super().__init__(layers)
        self.to(memory_format=torch.channels_last)


class ResNetDecoder(LayersOfCodes):
    """Linear, then at each size a doubling and a residual block, then a convolution to the values per pixel."""

    def __init__(self, latent_dim: int, output_shape: Shape, *, channels: Count, depth: Count | None) -> None:
        n_values, *size = output_shape
        depth = depth_for(size, depth, "resnet")
        sizes = halvings(size, depth)[::-1]
        wide = widths(channels, depth)[::-1]
        height, width = sizes[0]
        layers: list[nn.Module] = [
            nn.Linear(latent_dim, wide[0] * height * width),
            nn.Unflatten(1, (wide[0], height, width)),
        ]
        for (n_in, n_out), larger in zip(pairwise(wide), sizes[1:], strict=True):
            layers += [nn.Upsample(larger, mode="nearest"), ResidualBlock(n_in, n_out)]
        layers += [nn.SiLU(), nn.Conv2d(wide[-1], n_values, 3, padding=1)]
        super().__init__(layers)
        self.to(memory_format=torch.channels_last)
