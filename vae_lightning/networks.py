"""Image -> posterior parameters, and latent code -> values per pixel: convolutional, or fully connected.

The convolutional pair is the source article's for 28x28 images, exactly. Its weights are kept in channels-last order,
which convolutions prefer; it changes no result beyond rounding. The others take images of any shape, and are linear
maps without hidden layers.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae_lightning.errors import Code, UserError
from vae_lightning.ranges import Count

__all__ = ["ConvDecoder", "ConvEncoder", "MLPDecoder", "MLPEncoder", "SkipMLPDecoder"]

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}
LEAKY_SLOPE = 0.2

Shape = tuple[int, int, int]
Sizes = Sequence[Count]
Activation = Literal["relu", "tanh"]


def dense_layers(sizes: Sequence[int], activation: Activation) -> list[nn.Module]:
    """Return Linear layers through ``sizes`` with the activation between them, not after the last."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), ACTIVATIONS[activation]()]
    return layers[:-1]


class MLPEncoder(nn.Module):
    """Image -> hidden layers -> ``n_outputs`` posterior parameters."""

    def __init__(self, image_shape: Shape, n_outputs: int, *, hidden_sizes: Sizes, activation: Activation) -> None:
        super().__init__()
        sizes = [math.prod(image_shape), *hidden_sizes, n_outputs]
        self.layers = nn.Sequential(nn.Flatten(), *dense_layers(sizes, activation))

    def forward(self, pixels: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:
        outputs: Tensor = self.layers(pixels)
        return outputs


class MLPDecoder(nn.Module):
    """Latent code -> hidden layers -> unbounded values per pixel."""

    def __init__(self, latent_dim: int, output_shape: Shape, *, hidden_sizes: Sizes, activation: Activation) -> None:
        sizes = [latent_dim, *hidden_sizes, math.prod(output_shape)]
        super().__init__()
        self.layers = nn.Sequential(*dense_layers(sizes, activation), nn.Unflatten(1, output_shape))

    def forward(self, codes: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch values height width"]:
        values: Tensor = self.layers(codes)
        return values


class SkipMLPDecoder(nn.Module):
    """An MLP decoder whose every layer sees the latent code beside what comes from below (Dieng et al. 2019, eq. 7).

    A linear map of both side by side is the sum of a linear map of each, which is the paper's skip connection.
    """

    def __init__(self, latent_dim: int, output_shape: Shape, *, hidden_sizes: Sizes, activation: Activation) -> None:
        super().__init__()
        sizes = pairwise([0, *hidden_sizes, math.prod(output_shape)])
        self.layers = nn.ModuleList(nn.Linear(n_in + latent_dim, n_out) for n_in, n_out in sizes)
        self.activation = ACTIVATIONS[activation]()
        self.output_shape = output_shape

    def forward(self, codes: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch values height width"]:
        first, *others = self.layers
        features: Tensor = first(codes)
        for layer in others:
            features = layer(torch.cat([self.activation(features), codes], dim=1))
        values: Tensor = features.unflatten(1, self.output_shape)
        return values


class ConvEncoder(nn.Module):
    """Conv 1-32-64 (3x3, stride 2), LeakyReLU 0.2, then Linear 2304 -> ``n_outputs``."""

    def __init__(self, image_shape: Shape, n_outputs: int) -> None:
        check_image_shape(image_shape)
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, 3, stride=2),  # 28 -> 13
            nn.LeakyReLU(LEAKY_SLOPE),
            nn.Conv2d(32, 64, 3, stride=2),  # 13 -> 6
            nn.LeakyReLU(LEAKY_SLOPE),
            nn.Flatten(),
            nn.Linear(64 * 6 * 6, n_outputs),
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, pixels: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch outputs"]:
        outputs: Tensor = self.layers(pixels)
        return outputs


class ConvDecoder(nn.Module):
    """Linear -> (32, 8, 8), ConvT 64 and 32 (3x3, stride 2, padding 1), ConvT to the values per pixel (2x2, padding 1).

    LeakyReLU 0.2 follows every layer but the last. The article's final sigmoid belongs to the likelihood here
    (``likelihood.mean: sigmoid``), so that one decoder serves every likelihood.
    """

    def __init__(self, latent_dim: int, output_shape: Shape) -> None:
        n_channels, *size = output_shape
        check_image_shape((1, *size))
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, 32 * 8 * 8),
            nn.LeakyReLU(LEAKY_SLOPE),
            nn.Unflatten(1, (32, 8, 8)),
            nn.ConvTranspose2d(32, 64, 3, stride=2, padding=1),  # 8 -> 15
            nn.LeakyReLU(LEAKY_SLOPE),
            nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1),  # 15 -> 29
            nn.LeakyReLU(LEAKY_SLOPE),
            nn.ConvTranspose2d(32, n_channels, 2, padding=1),  # 29 -> 28
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, codes: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch values 28 28"]:
        values: Tensor = self.layers(codes)
        return values


def check_image_shape(image_shape: tuple[int, ...]) -> None:
    if image_shape != (1, 28, 28):
        told = f"model=conv needs images of 1x28x28, not {'x'.join(map(str, image_shape))}; use mlp or linear"
        raise UserError(told, Code.INCOMPATIBLE, ["model", "data"])
