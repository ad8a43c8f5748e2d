"""The source article's convolutional encoder and decoder for 28x28 images, exactly.

Weights are kept in channels-last order, which the CPU's and the GPU's convolutions prefer; it changes the layout
in memory, never a result beyond rounding.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae_lightning.errors import Code, UserError

IMAGE_SHAPE = (1, 28, 28)
LEAKY_SLOPE = 0.2


class ConvEncoder(nn.Module):
    """Conv 1-32-64 (3x3, stride 2), LeakyReLU 0.2, then Linear 2304 -> ``n_outputs``."""

    def __init__(self, image_shape: tuple[int, int, int], n_outputs: int) -> None:
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
    """Linear -> (32, 8, 8), ConvT 64 and 32 (3x3, stride 2, padding 1), ConvT 1 (2x2, padding 1).

    A likelihood that asks for more than one value per pixel gets as many channels from the last layer.

    The article's final sigmoid belongs to the likelihood here (``likelihood.mean: sigmoid``), so that one decoder
    serves every likelihood. LeakyReLU 0.2 follows every layer but the last.
    """

    def __init__(self, latent_dim: int, output_shape: tuple[int, int, int]) -> None:
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
    if image_shape != IMAGE_SHAPE:
        shape = "x".join(map(str, image_shape))
        told = f"model=conv needs images of 1x28x28, but these data are {shape}; use mlp or linear"
        raise UserError(told, Code.INCOMPATIBLE, ["model", "data"])
