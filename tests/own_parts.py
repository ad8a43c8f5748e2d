"""Parts as a user would write them: data, networks, a callback."""

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn


def values_and_kinds(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Grey images in [0, 1] of 8x6 pixels and a name for each: numpy arrays, as most people have them."""
    random = np.random.default_rng(3)
    return random.uniform(size=(n, 8, 6)), np.array(["cat", "dog", "owl"])[np.arange(n) % 3]


class PairEncoder(nn.Module):
    """Gives (mean, log variance), with dropout: what it draws is not ours."""

    def __init__(self, image_shape: tuple[int, int, int], n_outputs: int) -> None:
        super().__init__()
        n_pixels = int(np.prod(image_shape))
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(n_pixels, 16), nn.Dropout(0.3), nn.ReLU())
        self.mean = nn.Linear(16, n_outputs // 2)
        self.log_variance = nn.Linear(16, n_outputs // 2)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(pixels)
        return self.mean(features), self.log_variance(features)


class Decoder(nn.Module):
    """A linear layer and dropout."""

    def __init__(self, latent_dim: int, output_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(latent_dim, 16), nn.ReLU(), nn.Dropout(0.1))
        self.last = nn.Linear(16, int(np.prod(output_shape)))
        self.shape = output_shape

    def forward(self, codes: Tensor) -> Tensor:
        values: Tensor = self.last(self.layers(codes))
        images: Tensor = values.unflatten(1, self.shape)
        return images


class FlatDecoder(Decoder):
    """Forgets to give images."""

    def forward(self, codes: Tensor) -> Tensor:
        return super().forward(codes).flatten(1)


class Counting(Callback):
    """Counts the chunks of batches that it is told of."""

    def __init__(self, start: int = 0) -> None:
        self.n = start

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        self.n += 1

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert self.n > 0


class LazyEncoder(nn.Module):
    """Learns the number of pixels from its first input, and draws its weights then."""

    def __init__(self, image_shape: tuple[int, int, int], n_outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.LazyLinear(n_outputs))

    def forward(self, pixels: Tensor) -> Tensor:
        outputs: Tensor = self.layers(pixels)
        return outputs
