"""Pixels -> batches of 100, held in memory."""

from vae_lightning.data.loader import Batch, EvaluationLoader, TrainingLoader
from vae_lightning.data.module import ImageDataModule
from vae_lightning.data.splits import Images, Splits, digits, idx_images, linear_gaussian

__all__ = [
    "Batch",
    "EvaluationLoader",
    "ImageDataModule",
    "Images",
    "Splits",
    "TrainingLoader",
    "digits",
    "idx_images",
    "linear_gaussian",
]
