"""Fully connected encoder and decoder for images of any shape. Without hidden layers they are linear maps."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}

HiddenSizes = Sequence[Annotated[int, Field(ge=1)]]
Activation = Literal["relu", "tanh"]


def dense_layers(sizes: Sequence[int], activation: Activation) -> list[nn.Module]:
    """Return Linear layers through ``sizes`` with the activation between them, not after the last."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), ACTIVATIONS[activation]()]
    return layers[:-1]


class MLPEncoder(nn.Module):
    """Image -> hidden layers -> ``n_outputs`` posterior parameters."""

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        n_outputs: int,
        *,
        hidden_sizes: HiddenSizes,
        activation: Activation,
    ) -> None:
        sizes = [math.prod(image_shape), *hidden_sizes, n_outputs]
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), *dense_layers(sizes, activation))

    def forward(self, pixels: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:
        outputs: Tensor = self.layers(pixels)
        return outputs


class MLPDecoder(nn.Module):
    """Latent code -> hidden layers -> unbounded values per pixel."""

    def __init__(
        self,
        latent_dim: int,
        output_shape: tuple[int, int, int],
        *,
        hidden_sizes: HiddenSizes,
        activation: Activation,
    ) -> None:
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

    def __init__(
        self,
        latent_dim: int,
        output_shape: tuple[int, int, int],
        *,
        hidden_sizes: HiddenSizes,
        activation: Activation,
    ) -> None:
        sizes = [*hidden_sizes, math.prod(output_shape)]
        super().__init__()
        inputs = [0, *hidden_sizes]
        self.layers = nn.ModuleList(
            nn.Linear(n_in + latent_dim, n_out) for n_in, n_out in zip(inputs, sizes, strict=True)
        )
        self.activation = ACTIVATIONS[activation]()
        self.output_shape = output_shape

    def forward(self, codes: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch values height width"]:
        first, *others = self.layers
        features: Tensor = first(codes)
        for layer in others:
            features = layer(torch.cat([self.activation(features), codes], dim=1))
        values: Tensor = features.unflatten(1, self.output_shape)
        return values
