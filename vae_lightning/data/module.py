"""The LightningDataModule: images from a source, an optional validation part, binarisation, global batches."""

import json
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar, cast

import torch
from jaxtyping import Float
from lightning.pytorch import LightningDataModule
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from vae_lightning.data.accepted import spelled
from vae_lightning.data.loader import EvaluationLoader, TrainingLoader, as_floats, n_batches
from vae_lightning.data.preparation import TRAINING_PART, Binarize, Prepared, binarized, prepared_splits
from vae_lightning.data.scale import Scale, ScaleOption
from vae_lightning.data.splits import Images
from vae_lightning.errors import Code, UserError

Fact = TypeVar("Fact")


class Shared(NamedTuple):
    """Images in memory, and what was computed of them."""

    source: Callable[[], Any]
    """Kept, so that no other object takes its identity."""
    prepared: Prepared
    facts: dict[Callable[..., Any], Any]


_shared: dict[str, Shared] = {}
"""What :meth:`ImageDataModule.share` has kept in this process, by what decides the images."""


def mean_image(data: "ImageDataModule") -> Float[Tensor, "channels height width"]:
    """Return the mean of the training images."""
    pixels = data.splits["train"].pixels
    # In pieces: all of them as floats would take four times the memory of bytes.
    return sum((as_floats(piece).sum(0) for piece in pixels.split(1000)), torch.zeros(pixels.shape[1:])) / len(pixels)


class ImageDataModule(LightningDataModule):
    """Holds the data in memory, on the device of the run, and serves them in global batches.

    Args:
        seed: of the batch order, the validation part and dynamic binarisation.
        source: a function that returns the official splits, or whatever can be taken as such:
            :func:`vae_lightning.data.accepted.as_splits`.
        batch_size: images in a global batch, shared by all devices.
        evaluation_batch_size: images evaluated at once; changes memory and speed, never a result.
        validation_size: images taken from the training part, by seed, for the curves during training.
        binarize: ``none``; ``dynamic`` (a fresh Bernoulli draw each time a training image is seen, Burda 2015) or
            ``static`` (one draw for all runs). Held-out images are drawn once in both cases.
        scale: what a value means; ``auto`` reads it off type and range.
        drop_last: leave out the last images of an epoch's order, where they are fewer than a batch.
    """

    def __init__(
        self,
        seed: int,
        *,
        source: Callable[[], Any],
        batch_size: PositiveInt,
        evaluation_batch_size: PositiveInt,
        validation_size: NonNegativeInt,
        binarize: Binarize,
        scale: ScaleOption = "auto",
        drop_last: bool = False,
    ) -> None:
        super().__init__()
        self.seed = seed
        self.source = source
        self.batch_size = batch_size
        self.evaluation_batch_size = evaluation_batch_size
        self.validation_size = validation_size
        self.binarize = binarize
        self.drop_last = drop_last
        self.splits: dict[str, Images] = {}
        self.scale: ScaleOption = scale
        """What a value means; no longer ``auto`` once :meth:`setup` has run."""
        self._asked_scale = scale
        self._facts: dict[Callable[..., Any], Any] = {}

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height, width. Known once :meth:`setup` has run."""
        channels, height, width = self.splits["test"].pixels.shape[1:]
        return channels, height, width

    @property
    def curve_split(self) -> Literal["val", "test"]:
        """Name of the held-out part that the curves show during training. Nothing is selected by it."""
        return "val" if self.validation_size else "test"

    @property
    def steps_per_epoch(self) -> int:
        """Number of global batches in an epoch. Known once :meth:`setup` has run."""
        return n_batches(len(self.splits["train"].pixels), self.batch_size, self.drop_last)

    @property
    def smallest_batch(self) -> int:
        """Number of images in the smallest global batch of an epoch. Known once :meth:`setup` has run."""
        n_images = len(self.splits["train"].pixels)
        return self.batch_size if self.drop_last else n_images % self.batch_size or self.batch_size

    def setup(self, stage: str | None = None) -> None:
        """Load, split and binarise, once. Raises UserError as :func:`prepared_splits`, or where sizes do not fit."""
        if self.splits:
            return
        if shared := _shared.get(self._what_decides_the_images()):
            splits, scale, self._facts = dict(shared.prepared.splits), shared.prepared.scale, shared.facts
        else:
            splits, scale = prepared_splits(
                self.seed,
                source=self.source,
                validation_size=self.validation_size,
                binarize=self.binarize,
                scale=self.scale,
            )
        if self.drop_last and len(splits["train"].pixels) < self.batch_size:
            message = f"data.drop_last=true: {len(splits['train'].pixels)} training images are no batch of "
            message += f"data.batch_size={self.batch_size}; take drop_last=false or a smaller batch"
            raise UserError(message, Code.INCOMPATIBLE, ["data.drop_last", "data.batch_size"])
        self.splits, self.scale = splits, scale

    def _what_decides_the_images(self) -> str:
        seed = self.seed if self.validation_size else None
        how = [self.validation_size, self.binarize, self._asked_scale]
        return json.dumps([self.source, *how, seed], default=_spelled_or_same, sort_keys=True)

    def share(self) -> None:
        """Keep the images, and what was asked by :meth:`once`, for data modules of the same images in this process
        and in those that are forked from it."""
        prepared = Prepared(self.splits, cast(Scale, self.scale))
        _shared[self._what_decides_the_images()] = Shared(self.source, prepared, self._facts)

    def once(self, function: "Callable[[ImageDataModule], Fact]") -> Fact:
        """Return what a function says of the images, computed once and never of anything but the images."""
        if function not in self._facts:
            self._facts[function] = function(self)
        return cast(Fact, self._facts[function])

    def train_dataloader(self) -> TrainingLoader:
        ranks, images = self._ranks, self._on_device("train")
        if self.batch_size % (world_size := ranks.get("world_size", 1)):
            valid = nearest_multiples(self.batch_size, world_size)
            message = f"data.batch_size={self.batch_size}: must be a multiple of the {world_size} devices, as {valid}"
            raise UserError(message, Code.INCOMPATIBLE, ["data.batch_size", "trainer.devices"])
        if self.smallest_batch % world_size:
            message = (
                f"data.drop_last=false: the last batch, of {self.smallest_batch} images, cannot be shared evenly by "
            )
            message += f"{world_size} devices; take true"
            raise UserError(message, Code.INCOMPATIBLE, ["data.drop_last", "trainer.devices"])
        return TrainingLoader(
            images,
            batch_size=self.batch_size,
            seed=self.seed,
            drop_last=self.drop_last,
            dynamic_binarization=self.binarize == "dynamic",
            **ranks,
        )

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

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Leave a batch, or a chunk of them, where it is: it is indexed from tensors that live on the device."""
        return batch

    def _on_device(self, split: str) -> Images:
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        self.splits[split] = Images(*(tensor.to(device) for tensor in self.splits[split]))
        return self.splits[split]


def _spelled_or_same(value: Any) -> Any:
    """Return what something is in words; of what has no lasting name, what is the same for the same object alone."""
    try:
        return spelled(value)
    except TypeError:
        return id(value)


def nearest_multiples(batch_size: int, world_size: int) -> str:
    """Return the batch sizes nearest to ``batch_size`` that ``world_size`` devices can share evenly."""
    below = batch_size - batch_size % world_size
    return " or ".join(str(size) for size in (below, below + world_size) if size)
