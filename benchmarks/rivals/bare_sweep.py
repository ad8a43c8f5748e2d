"""A share of a sweep as bare loops: the same trainings one after another in one process, and nothing else.

``python -m benchmarks.rivals.bare_sweep CONFIGS.json``: a list of resolved configs.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from torch import Tensor

from benchmarks.rivals.bare import BATCH_SIZE, parts_of, train_epoch
from vae_lightning.training_step import TrainingStep


def train_bare(config: dict[str, Any], pixels: Tensor) -> None:
    """Train a model for as many epochs, with the same KL weights at each step, as its config says."""
    torch.manual_seed(config["seed"])
    n_epochs, n_batches = config["trainer"]["max_epochs"], len(pixels) // BATCH_SIZE
    schedule = instantiate({key: value for key, value in config["beta_schedule"].items() if key != "name"})

    def kl_weight(step: int) -> float:
        return float(config["kl_weight"] * schedule(TrainingStep(step, n_epochs * n_batches, n_batches)))

    parts = parts_of(config)
    for epoch in range(n_epochs):
        train_epoch(parts, pixels, config["latent_dim"], kl_weight, epoch * n_batches)


def main() -> None:
    """Load the images once, then train each model."""
    configs = json.loads(Path(sys.argv[1]).read_text())
    pixels = instantiate(configs[0]["data"]["source"])().training.pixels
    for config in configs:
        train_bare(config, pixels)


if __name__ == "__main__":
    main()
