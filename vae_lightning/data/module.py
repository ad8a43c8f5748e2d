"""The LightningDataModule: images from a source, an optional validation part, binarisation, global batches."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float
from lightning.pytorch import LightningDataModule
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from vae_lightning.data.loader import Batch, EvaluationLoader, TrainingLoader, as_floats
from vae_lightning.data.preparation import TRAINING_PART, Binarize, binarized, prepared_splits
from vae_lightning.data.splits import Images, Splits
from vae_lightning.errors import Code, UserError


class ImageDataModule(LightningDataModule):
    """Holds the data in memory, on the device of the run, and serves them in global batches.

    Args:
        seed: of the batch order, the validation part and dynamic binarisation.
        source: a function that returns the official splits.
        batch_size: images in a global batch, shared by all devices. It must divide the training images.
        evaluation_batch_size: images evaluated at once; changes memory and speed, never a result.
        validation_size: images taken from the training part, by seed, for the curves during training.
        binarize: ``none``; ``dynamic`` (a fresh Bernoulli draw each time a training image is seen, Burda 2015) or
            ``static`` (one draw for all runs). Held-out images are drawn once in both cases.
    """

    def __init__(
        self,
        seed: int,
        *,
        source: Callable[[], Splits],
        batch_size: PositiveInt,
        evaluation_batch_size: PositiveInt,
        validation_size: NonNegativeInt,
        binarize: Binarize,
    ) -> None:
        super().__init__()
        self.seed = seed
        self.source = source
        self.batch_size = batch_size
        self.evaluation_batch_size = evaluation_batch_size
        self.validation_size = validation_size
        self.binarize = binarize
        self.splits: dict[str, Images] = {}

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height, width. Known once :meth:`setup` has run."""
        channels, height, width = self.splits["test"].pixels.shape[1:]
        return channels, height, width

    @property
    def curve_split(self) -> Literal["val", "test"]:
        """Name of the held-out part that the curves show during training. Nothing is selected by it."""
        return "val" if self.validation_size else "test"

    def setup(self, stage: str | None = None) -> None:
        """Load, split and binarise, once. Raises UserError as :func:`prepared_splits`, or where sizes do not fit."""
        if self.splits:
            return
        size, how = self.validation_size, self.binarize
        splits = prepared_splits(self.seed, source=self.source, validation_size=size, binarize=how)
        check_batch_size(self.batch_size, len(splits["train"].pixels))
        self.splits = splits

    def train_dataloader(self) -> TrainingLoader:
        ranks, images = self._ranks, self._on_device("train")
        if self.batch_size % (world_size := ranks.get("world_size", 1)):
            valid = nearest_multiples(self.batch_size, world_size)
            message = f"data.batch_size={self.batch_size}: must be a multiple of the {world_size} devices, as {valid}"
            raise UserError(message, Code.INCOMPATIBLE, ["data.batch_size", "trainer.devices"])
        dynamic = self.binarize == "dynamic"
        return TrainingLoader(images, batch_size=self.batch_size, seed=self.seed, dynamic_binarization=dynamic, **ranks)

    def val_dataloader(self) -> EvaluationLoader:
        return self.evaluation_loader(self.curve_split)

    def test_dataloader(self) -> EvaluationLoader:
        return self.evaluation_loader("test")

    def evaluation_loader(self, split: Literal["train", "val", "test"]) -> EvaluationLoader:
        return EvaluationLoader(self._on_device(split), batch_size=self.evaluation_batch_size, **self._ranks)

    @property
    def _ranks(self) -> dict[str, int]:
        """Which of how many ranks this is, as the loaders take it; nothing without a trainer."""
        return {"rank": at.global_rank, "world_size": at.world_size} if (at := self.trainer) else {}

    def images_to_judge_by(self, n: int) -> Float[Tensor, "n channels height width"]:
        """Return up to ``n`` images for decisions during training: held-out ones, else training ones; never test ones.

        They are as the model sees them: under dynamic binarisation drawn once.
        """
        held_out = "val" in self.splits
        pixels = self.splits["val" if held_out else "train"].pixels[:n]
        if self.binarize == "dynamic" and not held_out:
            pixels = binarized(pixels.cpu(), TRAINING_PART)
        return as_floats(pixels)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Any:
        """Leave the batch where it is: it was indexed from tensors that live on the device."""
        return batch

    def _on_device(self, split: str) -> Images:
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        self.splits[split] = Images(*(tensor.to(device) for tensor in self.splits[split]))
        return self.splits[split]


def check_batch_size(batch_size: int, n_images: int) -> None:
    """Raise UserError unless the batch size divides the training images, so that an epoch shows each exactly once."""
    if n_images % batch_size:
        divisors = [n for n in range(1, n_images + 1) if n_images % n == 0]
        below = max(n for n in divisors if n < batch_size)  # there is 1, for 1 divides
        above = min((n for n in divisors if n > batch_size), default=n_images)
        message = f"data.batch_size={batch_size}: must divide the {n_images} training images, as do {below} and {above}"
        raise UserError(message, Code.INCOMPATIBLE, ["data.batch_size"])


def nearest_multiples(batch_size: int, world_size: int) -> str:
    """Return the batch sizes nearest to ``batch_size`` that ``world_size`` devices can share evenly."""
    below = batch_size - batch_size % world_size
    return " or ".join(str(size) for size in (below, below + world_size) if size)
