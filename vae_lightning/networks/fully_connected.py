"""Fully connected: images of any shape; linear maps without hidden layers."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae_lightning.networks.layers import LayersOfCodes, LayersOfImages, Shape
from vae_lightning.ranges import Count

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}
Sizes = Sequence[Count]
Activation = Literal["relu", "tanh"]


def dense_layers(sizes: Sequence[int], activation: Activation) -> list[nn.Module]:
    """Return Linear layers through ``sizes`` with the activation between them, not after the last."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), ACTIVATIONS[activation]()]
    return layers[:-1]


class MLPEncoder(LayersOfImages):
    """Image -> hidden layers -> ``n_outputs`` posterior parameters."""

    def __init__(self, image_shape: Shape, n_outputs: int, *, hidden_sizes: Sizes, activation: Activation) -> None:
        sizes = [math.prod(image_shape), *hidden_sizes, n_outputs]
        super().__init__([nn.Flatten(), *dense_layers(sizes, activation)])


class MLPDecoder(LayersOfCodes):
    """Latent code -> hidden layers -> unbounded values per pixel."""

    def __init__(self, latent_dim: int, output_shape: Shape, *, hidden_sizes: Sizes, activation: Activation) -> None:
        sizes = [latent_dim, *hidden_sizes, math.prod(output_shape)]
        super().__init__([*dense_layers(sizes, activation), nn.Unflatten(1, output_shape)])


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
