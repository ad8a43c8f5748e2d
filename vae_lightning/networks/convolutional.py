"""Convolutions for images of any size; for 28x28 exactly the source article's.

Weights are kept in channels-last order, which convolutions prefer; it changes no result beyond rounding.
"""

from itertools import pairwise

import torch
from torch import nn

from vae_lightning.networks.layers import LayersOfCodes, LayersOfImages, Shape
from vae_lightning.networks.sizes import depth_for, halvings, widths
from vae_lightning.ranges import Count

LEAKY_SLOPE = 0.2
ARTICLE = (28, 28)
FIRST_CHANNELS = 32


class ConvEncoder(LayersOfImages):
    """Convolutions 3x3 of stride 2 with LeakyReLU 0.2, then Linear to ``n_outputs``.

    For 28x28 and no ``depth`` these are the source article's: Conv 1-32-64 without padding, Linear 2304. Else there
    are 32, 64, 128, ... channels, with padding, as often as ``depth`` says: see :func:`depth_for`.
    """

    def __init__(self, image_shape: Shape, n_outputs: int, *, depth: Count | None = None) -> None:
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
        super().__init__(layers)
        self.to(memory_format=torch.channels_last)


class ConvDecoder(LayersOfCodes):
    """Linear, then transposed convolutions of stride 2 up to the size of the image, with LeakyReLU 0.2 between them.

    For 28x28 and no ``depth`` these are the source article's: Linear -> (32, 8, 8), ConvT 64 and 32 (3x3, padding 1),
    ConvT to the values per pixel (2x2, padding 1). Else it mirrors the encoder. The article's final sigmoid belongs to
    the likelihood here (``likelihood.mean: sigmoid``), so that one decoder serves every likelihood.
    """

    def __init__(self, latent_dim: int, output_shape: Shape, *, depth: Count | None = None) -> None:
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
        super().__init__(layers)
        self.to(memory_format=torch.channels_last)
