"""pythae: its own VAE, trainer and pipeline, called as its user guide does. Run by the python of its own environment.

``python -m benchmarks.rivals.pythae_vae IMAGES.npy FOLDER N_UNITS``: bytes of images, where it may write, how many
latent units.
"""

import contextlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.pipelines import TrainingPipeline
from pythae.trainers import BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import Tensor, nn

from benchmarks.rivals.gate import Gate

N_HIDDEN = 400
SHAPE = (1, 28, 28)


class Encoder(BaseEncoder):  # type: ignore[misc]  # pythae has no types
    """784-400-400-2x50."""

    def __init__(self, n_units: int) -> None:
        super().__init__()
        hidden = nn.Linear(784, N_HIDDEN), nn.ReLU(), nn.Linear(N_HIDDEN, N_HIDDEN), nn.ReLU()
        self.layers = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(N_HIDDEN, 2 * n_units))

    def forward(self, x: Tensor) -> Any:
        mean, log_variance = self.layers(x).chunk(2, dim=-1)
        return ModelOutput(embedding=mean, log_covariance=log_variance)


class Decoder(BaseDecoder):  # type: ignore[misc]
    """50-400-400-784, with the sigmoid that pythae leaves to the network."""

    def __init__(self, n_units: int) -> None:
        super().__init__()
        hidden = nn.Linear(n_units, N_HIDDEN), nn.ReLU(), nn.Linear(N_HIDDEN, N_HIDDEN), nn.ReLU()
        self.layers = nn.Sequential(*hidden, nn.Linear(N_HIDDEN, 784), nn.Sigmoid(), nn.Unflatten(1, SHAPE))

    def forward(self, z: Tensor) -> Any:
        return ModelOutput(reconstruction=self.layers(z))


class Turns(TrainingCallback):  # type: ignore[misc]
    """Waits for a turn before each epoch, and times it."""

    def __init__(self) -> None:
        self.gate = Gate()

    def on_epoch_begin(self, training_config: Any, **others: Any) -> None:
        self.gate.wait()

    def on_epoch_end(self, training_config: Any, **others: Any) -> None:
        self.gate.note()


def main() -> None:
    """Train an epoch at each turn, without images held out."""
    images = torch.from_numpy(np.load(sys.argv[1])).float().div_(255)
    folder, n_units = str(Path(sys.argv[2])), int(sys.argv[3])
    model = VAE(VAEConfig(input_dim=SHAPE, latent_dim=n_units), Encoder(n_units), Decoder(n_units))
    settings = BaseTrainerConfig(
        output_dir=folder, num_epochs=10_000, per_device_train_batch_size=100, learning_rate=1e-3, no_cuda=True
    )
    with contextlib.suppress(EOFError):
        TrainingPipeline(model=model, training_config=settings)(images, callbacks=[Turns()])


if __name__ == "__main__":
    main()
