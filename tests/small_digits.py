"""Data for the tests' tiny runs: scikit-learn's digits at their own 8x8 pixels, which need a third of the time."""

import torch
from sklearn.datasets import load_digits

from vae_lightning.data.splits import N_DIGITS_TRAINING, Images, Splits


def small_digits() -> Splits:
    """Return the same 1,500 training and 297 test images as ``data=digits``, not enlarged."""
    loaded = load_digits()
    pixels = torch.from_numpy(loaded.images).mul(255 / 16).round().to(torch.uint8).unsqueeze(1)
    everything = Images(pixels, torch.from_numpy(loaded.target).long())
    rows = torch.arange(len(pixels))
    return Splits(everything.select(rows[:N_DIGITS_TRAINING]), everything.select(rows[N_DIGITS_TRAINING:]))


small_digits.files = ()  # type: ignore[attr-defined]  # it reads none: its name says what it gives
