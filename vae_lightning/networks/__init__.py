"""Image -> posterior parameters, latent code -> values per pixel: fully connected, convolutional, residual; how they
begin."""

from vae_lightning.networks.convolutional import ConvDecoder, ConvEncoder
from vae_lightning.networks.fully_connected import MLPDecoder, MLPEncoder, SkipMLPDecoder
from vae_lightning.networks.initialisation import initialise, set_output_bias
from vae_lightning.networks.residual import ResNetDecoder, ResNetEncoder

__all__ = [
    "ConvDecoder", "ConvEncoder", "MLPDecoder", "MLPEncoder", "ResNetDecoder", "ResNetEncoder", "SkipMLPDecoder",
    "initialise", "set_output_bias",
]  # fmt: skip
