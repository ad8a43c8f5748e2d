"""Image -> posterior parameters, and latent code -> pixel parameters: conv, mlp, and mlp without hidden layers."""

from vae_lightning.networks.conv import ConvDecoder, ConvEncoder
from vae_lightning.networks.mlp import MLPDecoder, MLPEncoder

__all__ = ["ConvDecoder", "ConvEncoder", "MLPDecoder", "MLPEncoder"]
