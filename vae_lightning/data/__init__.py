"""Pixels -> batches of 100, held in memory."""

from typing import TYPE_CHECKING, Any

from vae_lightning.data.loader import BATCHES_AT_ONCE, Batch, EvaluationLoader, TrainingLoader
from vae_lightning.data.preparation import prepared_splits
from vae_lightning.data.splits import Images, Splits, digits, idx_images, linear_gaussian

if TYPE_CHECKING:
    from vae_lightning.data.module import ImageDataModule


def __getattr__(name: str) -> Any:
    """Import Lightning, which takes seconds, only for those who want the LightningDataModule."""
    if name == "ImageDataModule":
        from vae_lightning.data.module import ImageDataModule

        return ImageDataModule
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["BATCHES_AT_ONCE", "Batch", "EvaluationLoader", "ImageDataModule", "Images", "Splits", "TrainingLoader"]
__all__ += ["digits", "idx_images", "linear_gaussian", "prepared_splits"]
