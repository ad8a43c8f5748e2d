"""Image -> posterior parameters, and latent code -> pixel parameters: conv, mlp with or without hidden layers."""

from vae_lightning.networks.conv import ConvDecoder, ConvEncoder
from vae_lightning.networks.mlp import MLPDecoder, MLPEncoder, SkipMLPDecoder

__all__ = ["ConvDecoder", "ConvEncoder", "MLPDecoder", "MLPEncoder", "SkipMLPDecoder"]
