"""Official parts -> the splits a run sees: an optional validation part taken from the training images, binarisation."""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import UInt8
from pydantic import NonNegativeInt
from torch import Tensor

from vae_lightning.data.splits import Images, Splits
from vae_lightning.errors import Code, UserError
from vae_lightning.randomness import Stream, generator_for

BINARIZATION_CHUNK = 10_000
"""Number of images binarised at once, which bounds the memory of the uniform draws to about 30 MB."""
TRAINING_PART, TEST_PART, VALIDATION_PART = range(3)
FIXED_BINARIZATION_SEED = 0
"""Static and test-set binarisation do not follow the run's seed: all runs are then compared on the same pixels."""

Binarize = Literal["none", "dynamic", "static"]


def prepared_splits(
    seed: int, *, source: Callable[[], Splits], validation_size: NonNegativeInt, binarize: Binarize
) -> dict[str, Images]:
    """Return the splits "train", "test" and, where there is one, "val"; :class:`ImageDataModule` says what they are.

    Under dynamic binarisation the training images stay grey, to be drawn each time they are seen. Raises UserError
    where the validation part does not fit, the data cannot be had, or the pixels cannot be binarised.
    """
    training, test = source()
    n_images = len(training.pixels)
    if validation_size >= n_images:
        message = f"data.validation_size={validation_size}: must be less than the {n_images} training images"
        raise UserError(message, Code.INCOMPATIBLE, ["data.validation_size"])
    if binarize != "none" and training.pixels.is_floating_point():
        message = f"data.binarize={binarize}: these data are not pixels in [0, 1]; use none"
        raise UserError(message, Code.INCOMPATIBLE, ["data.binarize"])
    if binarize == "static":  # before the split, so that an image is the same under every seed
        training = Images(binarized(training.pixels, TRAINING_PART), training.labels)
    if binarize != "none":
        test = Images(binarized(test.pixels, TEST_PART), test.labels)
    if not validation_size:
        return {"train": training, "test": test}
    order = torch.randperm(n_images, generator=generator_for(seed, Stream.VALIDATION_SPLIT))
    held_out = training.select(order[:validation_size])
    if binarize == "dynamic":
        held_out = Images(binarized(held_out.pixels, VALIDATION_PART), held_out.labels)
    return {"train": training.select(order[validation_size:]), "test": test, "val": held_out}


def binarized(pixels: UInt8[Tensor, "n *image"], part: int) -> UInt8[Tensor, "n *image"]:
    """Draw each pixel once as 0 or 255 with its grey value as probability; the same every time for a ``part``."""
    generator = generator_for(FIXED_BINARIZATION_SEED, Stream.FIXED_BINARIZATION, part)
    chunks = [
        (torch.rand(chunk.shape, generator=generator) < chunk.float() / 255).to(torch.uint8) * 255
        for chunk in pixels.split(BINARIZATION_CHUNK)
    ]
    return torch.cat(chunks)
