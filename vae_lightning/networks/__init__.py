"""Image -> posterior parameters, and latent code -> values per pixel: fully connected, convolutional, or residual."""

from vae_lightning.networks.convolutional import ConvDecoder, ConvEncoder
from vae_lightning.networks.fully_connected import MLPDecoder, MLPEncoder, SkipMLPDecoder
from vae_lightning.networks.residual import ResNetDecoder, ResNetEncoder

__all__ = ["ConvDecoder", "ConvEncoder", "MLPDecoder", "MLPEncoder", "ResNetDecoder", "ResNetEncoder", "SkipMLPDecoder"]
