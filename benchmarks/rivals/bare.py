"""The bare loop: beta-VAE as a page of plain PyTorch trains it. Nothing here imports Lightning.

``python -m benchmarks.rivals.bare OVERRIDE...`` trains the model that a command line of overrides would.
"""

import contextlib
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from hydra.utils import instantiate
from torch import Tensor, nn

from benchmarks.rivals.gate import Gate

BATCH_SIZE = 100
Weight = Callable[[int], float]
"""The KL weight in force at a step."""


class Parts(NamedTuple):
    """What a bare loop trains."""

    encoder: nn.Module
    decoder: nn.Module
    optimizer: torch.optim.Optimizer


def parts_of(config: dict[str, Any], device: str = "cpu") -> Parts:
    """Return the same networks and optimiser as ours, by the same config."""
    shape, latent_dim = (1, 28, 28), config["latent_dim"]
    encoder = instantiate(config["model"]["encoder"], shape, 2 * latent_dim).to(device)
    decoder = instantiate(config["model"]["decoder"], latent_dim, shape).to(device)
    optimizer = {key: value for key, value in config["optimizer"].items() if key != "name"}
    return Parts(encoder, decoder, instantiate(optimizer)([*encoder.parameters(), *decoder.parameters()]))


def loss_of(encoder: nn.Module, decoder: nn.Module, batch: Tensor, noise: Tensor, kl_weight: float) -> Tensor:
    """Return the mean over the images of the squared error and the weighted KL, in nats up to a constant."""
    mean, log_variance = encoder(batch).chunk(2, dim=-1)
    codes = mean + torch.exp(0.5 * log_variance) * noise
    reconstruction = torch.sigmoid(decoder(codes))
    distortion = (batch - reconstruction).square().sum((1, 2, 3)).mean()
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
    loss: Tensor = distortion + kl_weight * kl
    return loss


def train_epoch(parts: Parts, pixels: Tensor, latent_dim: int, kl_weight: Weight, first_step: int = 0) -> None:
    """Train on each image once, in batches drawn from bytes in memory."""
    order = torch.randperm(len(pixels), device=pixels.device)
    for index in range(len(pixels) // BATCH_SIZE):
        batch = pixels[order[index * BATCH_SIZE : (index + 1) * BATCH_SIZE]].float().div_(255)
        noise = torch.randn(len(batch), latent_dim, device=batch.device)
        loss = loss_of(parts.encoder, parts.decoder, batch, noise, kl_weight(first_step + index))
        parts.optimizer.zero_grad()
        loss.backward()
        parts.optimizer.step()


@torch.no_grad()
def test_pass(parts: Parts, pixels: Tensor, latent_dim: int) -> float:
    """Return the loss over the test images."""
    batches = [batch.float().div_(255) for batch in pixels.split(1000)]
    losses = [loss_of(*parts[:2], batch, torch.randn(len(batch), latent_dim), 1.0) for batch in batches]
    return float(torch.stack(losses).mean())


def main() -> None:
    """Train an epoch at each turn; then, beyond the clock of the training, pass over the test images."""
    from vae_lightning.composing import composed

    config = composed(sys.argv[1:], derive=False)
    device, latent_dim = config["trainer"]["accelerator"], config["latent_dim"]
    splits = instantiate(config["data"]["source"])()
    pixels, parts, gate = splits.training.pixels.to(device), parts_of(config, device), Gate()
    with contextlib.suppress(EOFError):
        while True:
            gate.wait()
            train_epoch(parts, pixels, latent_dim, lambda _: 1.0)
            if device != "cpu":
                torch.cuda.synchronize()
            gate.note()
            if device == "cpu":
                test_pass(parts, splits.test.pixels, latent_dim)
                gate.note("test pass")


if __name__ == "__main__":
    main()
