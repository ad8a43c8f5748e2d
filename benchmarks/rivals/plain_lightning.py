"""Plain Lightning: the least LightningModule that trains the same networks, on the same batches, by the same optimiser.

``python -m benchmarks.rivals.plain_lightning OVERRIDE...``. No logger, no checkpoints, no progress bar; for the rest
Lightning's defaults. The batches are drawn as in the bare loop, for a DataLoader would be slower than either loop.
"""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import torch
from hydra.utils import instantiate
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from benchmarks.rivals.bare import BATCH_SIZE, Parts, loss_of, parts_of
from benchmarks.rivals.gate import Gate
from vae_lightning.composing import composed


class PlainVAE(LightningModule):
    """A beta-VAE with automatic optimisation, which logs nothing."""

    def __init__(self, parts: Parts, latent_dim: int) -> None:
        super().__init__()
        self.encoder, self.decoder, self.optimizer = parts
        self.latent_dim = latent_dim

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        noise = torch.randn(len(batch), self.latent_dim, device=batch.device)
        return loss_of(self.encoder, self.decoder, batch, noise, 1.0)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer


class Batches:
    """The batches of an epoch, in a new order each time."""

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels) // BATCH_SIZE

    def __iter__(self) -> Iterator[Tensor]:
        order = torch.randperm(len(self.pixels))
        for index in range(len(self)):
            yield self.pixels[order[index * BATCH_SIZE : (index + 1) * BATCH_SIZE]].float().div_(255)


class Turns(Callback):
    """Waits for a turn before each epoch, and times it."""

    def __init__(self) -> None:
        self.gate = Gate()

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.gate.wait()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.gate.note()


def main() -> None:
    """Train an epoch at each turn."""
    config = composed(sys.argv[1:], derive=False)
    batches = Batches(instantiate(config["data"]["source"])().training.pixels)
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=-1,
        callbacks=[Turns()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with contextlib.suppress(EOFError):
        trainer.fit(PlainVAE(parts_of(config), config["latent_dim"]), train_dataloaders=batches)


if __name__ == "__main__":
    main()
