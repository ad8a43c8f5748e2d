"""Pixels -> batches of 100, held in memory."""

import importlib
from typing import TYPE_CHECKING, Any

from vae_lightning.data.loader import BATCHES_AT_ONCE, Batch, EvaluationLoader, TrainingLoader
from vae_lightning.data.preparation import prepared_splits
from vae_lightning.data.splits import Images, Splits, digits, idx_images, linear_gaussian

if TYPE_CHECKING:
    from vae_lightning.data.image_folder import folder
    from vae_lightning.data.module import ImageDataModule
    from vae_lightning.data.own_data import array, own, table, torchvision_images

IMPORTED_WHEN_ASKED_FOR = {
    "ImageDataModule": "module",  # Lightning takes seconds
    "array": "own_data", "folder": "image_folder", "own": "own_data", "table": "own_data",
    "torchvision_images": "own_data",
}  # fmt: skip
"""A name, and the file of this room that has it."""


def __getattr__(name: str) -> Any:
    """Import what is not always needed."""
    if name in IMPORTED_WHEN_ASKED_FOR:
        return getattr(importlib.import_module(f"{__name__}.{IMPORTED_WHEN_ASKED_FOR[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["BATCHES_AT_ONCE", "Batch", "EvaluationLoader", "ImageDataModule", "Images", "Splits", "TrainingLoader"]
__all__ += ["array", "digits", "folder", "idx_images", "linear_gaussian", "own", "prepared_splits", "table"]
__all__ += ["torchvision_images"]
