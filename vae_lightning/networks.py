"""Image -> posterior parameters, and latent code -> values per pixel: convolutional, residual, or fully connected.

The convolutional pair is the source article's for 28x28 images, exactly. Weights of convolutions are kept in
channels-last order, which they prefer; it changes no result beyond rounding. The fully connected ones take images of
any shape, and are linear maps without hidden layers.
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

__all__ = ["ConvDecoder", "ConvEncoder", "MLPDecoder", "MLPEncoder", "ResNetDecoder", "ResNetEncoder", "SkipMLPDecoder"]

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}
LEAKY_SLOPE = 0.2
ARTICLE = (28, 28)
SMALLEST = 8
"""Pixels that a side must have for convolutions."""
SHORTEST = 7
"""Pixels to which the shorter side is halved."""
FIRST_CHANNELS = 32
WIDEST = 8
GROUPS = 8
"""Of channels that are normalised together."""

Shape = tuple[int, int, int]
Features = Float[Tensor, "batch channels height width"]
Sizes = Sequence[Count]
Activation = Literal["relu", "tanh"]


def joined(outputs: Tensor | tuple[Tensor, ...]) -> Tensor:
    """Return an encoder's outputs as one tensor: one that gives a tuple, as (mean, log variance), has them joined."""
    return torch.cat(outputs, dim=-1) if isinstance(outputs, tuple) else outputs


def dense_layers(sizes: Sequence[int], activation: Activation) -> list[nn.Module]:
    """Return Linear layers through ``sizes`` with the activation between them, not after the last."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), ACTIVATIONS[activation]()]
    return layers[:-1]


class MLPEncoder(nn.Module):
    """Image -> hidden layers -> ``n_outputs`` posterior parameters."""

    draws = False

    def __init__(self, image_shape: Shape, n_outputs: int, *, hidden_sizes: Sizes, activation: Activation) -> None:
        super().__init__()
        sizes = [math.prod(image_shape), *hidden_sizes, n_outputs]
        self.layers = nn.Sequential(nn.Flatten(), *dense_layers(sizes, activation))

    def forward(self, pixels: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:
        outputs: Tensor = self.layers(pixels)
        return outputs


class MLPDecoder(nn.Module):
    """Latent code -> hidden layers -> unbounded values per pixel."""

    draws = False

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

    draws = False

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


def depth_for(size: Sequence[int], depth: int | None, model: str) -> int:
    """Return how often a network halves an image: ``depth``, or until the shorter side has about 7 pixels.

    Raises UserError where the image is too small for that, as a row of numbers is.
    """
    shorter = min(size)
    most = shorter.bit_length() - 2  # to at least two pixels
    chosen = max(1, round(math.log2(max(shorter, 1) / SHORTEST))) if depth is None else depth
    if shorter < SMALLEST or chosen > most:
        told = "x".join(map(str, size))
        if shorter < SMALLEST:
            message = f"model={model} needs images of at least {SMALLEST}x{SMALLEST}, not {told}; use mlp or linear"
            raise UserError(message, Code.INCOMPATIBLE, ["model", "data"])
        message = f"model.encoder.depth={depth}: images of {told} can be halved {most} times at most"
        raise UserError(message, Code.INCOMPATIBLE, ["model.encoder.depth", "model.decoder.depth"])
    return chosen


def halvings(size: Sequence[int], depth: int) -> list[tuple[int, int]]:
    """Return the sizes from an image's down, each half of the one before, rounded up."""
    sizes = [(size[0], size[1])]
    for _ in range(depth):
        height, width = sizes[-1]
        sizes.append((math.ceil(height / 2), math.ceil(width / 2)))
    return sizes


def widths(first: int, depth: int) -> list[int]:
    """Return the channels at each depth: doubled by each halving, up to ``WIDEST`` times as many."""
    return [first * min(2**level, WIDEST) for level in range(depth + 1)]


class ConvEncoder(nn.Module):
    """Convolutions 3x3 of stride 2 with LeakyReLU 0.2, then Linear to ``n_outputs``.

    For 28x28 and no ``depth`` these are the source article's: Conv 1-32-64 without padding, Linear 2304. Else there
    are 32, 64, 128, ... channels, with padding, as often as ``depth`` says: see :func:`depth_for`.
    """

    draws = False

    def __init__(self, image_shape: Shape, n_outputs: int, *, depth: Count | None = None) -> None:
        super().__init__()
        n_channels, *size = image_shape
        if tuple(size) == ARTICLE and depth is None:
            layers: list[nn.Module] = [
                nn.Conv2d(n_channels, 32, 3, stride=2),  # 28 -> 13
                nn.LeakyReLU(LEAKY_SLOPE),
                nn.Conv2d(32, 64, 3, stride=2),  # 13 -> 6
                nn.LeakyReLU(LEAKY_SLOPE),
                nn.Flatten(),
                nn.Linear(64 * 6 * 6, n_outputs),
            ]
        else:
            depth = depth_for(size, depth, "conv")
            height, width = halvings(size, depth)[-1]
            channels = [n_channels, *widths(FIRST_CHANNELS, depth - 1)]
            layers = []
            for n_in, n_out in pairwise(channels):
                layers += [nn.Conv2d(n_in, n_out, 3, stride=2, padding=1), nn.LeakyReLU(LEAKY_SLOPE)]
            layers += [nn.Flatten(), nn.Linear(channels[-1] * height * width, n_outputs)]
        self.layers = nn.Sequential(*layers)
        self.to(memory_format=torch.channels_last)

    def forward(self, pixels: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:
        outputs: Tensor = self.layers(pixels)
        return outputs


class ConvDecoder(nn.Module):
    """Linear, then transposed convolutions of stride 2 up to the size of the image, with LeakyReLU 0.2 between them.

    For 28x28 and no ``depth`` these are the source article's: Linear -> (32, 8, 8), ConvT 64 and 32 (3x3, padding 1),
    ConvT to the values per pixel (2x2, padding 1). Else it mirrors the encoder. The article's final sigmoid belongs to
    the likelihood here (``likelihood.mean: sigmoid``), so that one decoder serves every likelihood.
    """

    draws = False

    def __init__(self, latent_dim: int, output_shape: Shape, *, depth: Count | None = None) -> None:
        super().__init__()
        n_values, *size = output_shape
        if tuple(size) == ARTICLE and depth is None:
            layers: list[nn.Module] = [
                nn.Linear(latent_dim, 32 * 8 * 8),
                nn.LeakyReLU(LEAKY_SLOPE),
                nn.Unflatten(1, (32, 8, 8)),
                nn.ConvTranspose2d(32, 64, 3, stride=2, padding=1),  # 8 -> 15
                nn.LeakyReLU(LEAKY_SLOPE),
                nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1),  # 15 -> 29
                nn.LeakyReLU(LEAKY_SLOPE),
                nn.ConvTranspose2d(32, n_values, 2, padding=1),  # 29 -> 28
            ]
        else:
            depth = depth_for(size, depth, "conv")
            sizes = halvings(size, depth)[::-1]
            channels = [*widths(FIRST_CHANNELS, depth - 1)[::-1], n_values]
            height, width = sizes[0]
            layers = [
                nn.Linear(latent_dim, channels[0] * height * width),
                nn.LeakyReLU(LEAKY_SLOPE),
                nn.Unflatten(1, (channels[0], height, width)),
            ]
            for (n_in, n_out), (small, large) in zip(pairwise(channels), pairwise(sizes), strict=True):
                missing = (large[0] - (2 * small[0] - 1), large[1] - (2 * small[1] - 1))
                layers.append(nn.ConvTranspose2d(n_in, n_out, 3, stride=2, padding=1, output_padding=missing))
                layers.append(nn.LeakyReLU(LEAKY_SLOPE))
            layers.pop()
        self.layers = nn.Sequential(*layers)
        self.to(memory_format=torch.channels_last)

    def forward(self, codes: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch values height width"]:
        values: Tensor = self.layers(codes)
        return values


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


class ResNetEncoder(nn.Module):
    """A convolution, then at each size a residual block and a halving, then Linear to ``n_outputs``.

    Group normalisation knows no batch, so that images do not depend on their neighbours.
    """

    draws = False

    def __init__(self, image_shape: Shape, n_outputs: int, *, channels: Count, depth: Count | None) -> None:
        super().__init__()
        n_channels, *size = image_shape
        depth = depth_for(size, depth, "resnet")
        height, width = halvings(size, depth)[-1]
        wide = widths(channels, depth)
        layers: list[nn.Module] = [nn.Conv2d(n_channels, channels, 3, padding=1)]
        for n_in, n_out in pairwise(wide):
            layers += [ResidualBlock(n_in, n_out), nn.Conv2d(n_out, n_out, 3, stride=2, padding=1)]
        layers += [nn.SiLU(), nn.Flatten(), nn.Linear(wide[-1] * height * width, n_outputs)]
        self.layers = nn.Sequential(*layers)
        self.to(memory_format=torch.channels_last)

    def forward(self, pixels: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:
        outputs: Tensor = self.layers(pixels)
        return outputs


class ResNetDecoder(nn.Module):
    """Linear, then at each size a doubling and a residual block, then a convolution to the values per pixel."""

    draws = False

    def __init__(self, latent_dim: int, output_shape: Shape, *, channels: Count, depth: Count | None) -> None:
        super().__init__()
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
        self.layers = nn.Sequential(*layers)
        self.to(memory_format=torch.channels_last)

    def forward(self, codes: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch values height width"]:
        values: Tensor = self.layers(codes)
        return values
