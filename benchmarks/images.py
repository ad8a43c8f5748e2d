"""The first images of MNIST: a source of data whose epochs are as short as a benchmark needs."""

from typing import Literal

import torch

from vae_lightning.data import Splits, idx_images

N_TRAINING = 60_000
N_TEST = 10_000


def first_images(*, dataset: Literal["mnist", "fashion_mnist"], data_dir: str, n_training: int, n_test: int) -> Splits:
    """Return the first training and the first test images."""
    training, test = idx_images(dataset=dataset, data_dir=data_dir)
    return Splits(training.select(torch.arange(n_training)), test.select(torch.arange(n_test)))


def images_overrides(n_training: int = N_TRAINING, n_test: int = N_TEST) -> list[str]:
    """Return the overrides by which a run takes its data from here."""
    source = f"{first_images.__module__}.{first_images.__name__}"
    return [f"data.source._target_={source}", f"+data.source.n_training={n_training}", f"+data.source.n_test={n_test}"]
