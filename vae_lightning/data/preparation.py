"""Official parts -> the splits a run sees: what their values mean, an optional validation part, binarisation."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, UInt8
from pydantic import NonNegativeInt
from torch import Tensor

from vae_lightning.data.accepted import check_parts, common_type, taken
from vae_lightning.data.loader import as_floats
from vae_lightning.data.scale import (
    IN_UNIT_INTERVAL,
    IN_WORDS,
    Scale,
    ScaleOption,
    check_scale,
    joint_scale,
    scale_of,
    stored,
)
from vae_lightning.data.splits import Images, Splits
from vae_lightning.errors import Code, UserError
from vae_lightning.randomness import Stream, generator_for

BINARIZATION_CHUNK = 10_000
"""Number of images binarised at once, which bounds the memory of the uniform draws to about 30 MB."""
TRAINING_PART, TEST_PART, VALIDATION_PART = range(3)
FIXED_BINARIZATION_SEED = 0
"""Static and test-set binarisation do not follow the run's seed: all runs are then compared on the same pixels."""

Binarize = Literal["none", "dynamic", "static"]


class Prepared(NamedTuple):
    """The splits of a run, "train", "test" and, where there is one, "val", and what their values mean."""

    splits: dict[str, Images]
    scale: Scale


def prepared_splits(
    seed: int,
    *,
    source: Callable[[], Any],
    validation_size: NonNegativeInt,
    binarize: Binarize,
    scale: ScaleOption = "auto",
) -> Prepared:
    """Return the splits that a run sees; :class:`ImageDataModule` says what the arguments are.

    Under dynamic binarisation the training images stay grey, to be drawn each time they are seen. Raises UserError
    where the validation part does not fit, the data cannot be had or are none, or the pixels cannot be binarised.
    """
    splits = taken(source)
    check_parts(splits)
    meaning, (training, test) = in_scale(splits, scale)
    n_images = len(training.pixels)
    if validation_size >= n_images:
        message = f"data.validation_size={validation_size}: must be less than the {n_images} training images"
        raise UserError(message, Code.INCOMPATIBLE, ["data.validation_size"])
    if binarize != "none" and meaning not in IN_UNIT_INTERVAL:
        message = f"data.binarize={binarize}: these data are {IN_WORDS[meaning]}, not pixels in [0, 1]; use none"
        raise UserError(message, Code.INCOMPATIBLE, ["data.binarize"])
    if binarize == "static":  # before the split, so that an image is the same under every seed
        training = Images(binarized(training.pixels, TRAINING_PART), training.labels)
    if binarize != "none":
        test = Images(binarized(test.pixels, TEST_PART), test.labels)
    if not validation_size:
        return Prepared({"train": training, "test": test}, meaning)
    order = torch.randperm(n_images, generator=generator_for(seed, Stream.VALIDATION_SPLIT))
    held_out = training.select(order[:validation_size])
    if binarize == "dynamic":
        held_out = Images(binarized(held_out.pixels, VALIDATION_PART), held_out.labels)
    return Prepared({"train": training.select(order[validation_size:]), "test": test, "val": held_out}, meaning)


def in_scale(splits: Splits, scale: ScaleOption) -> tuple[Scale, Splits]:
    """Return what the values of both parts mean, and the parts as they lie in memory by that.

    Raises UserError where they are not what ``scale`` says.
    """
    parts = common_type(splits)
    if scale == "auto":
        scale = joint_scale(*(scale_of(part) for part in parts))
    for part, name in zip(parts, ("training images", "test images"), strict=True):
        check_scale(part, scale, name)
    training, test = (Images(stored(part, scale), of.labels) for part, of in zip(parts, splits, strict=True))
    return scale, Splits(training, test)


def binarized(pixels: UInt8[Tensor, "n *image"] | Float[Tensor, "n *image"], part: int) -> UInt8[Tensor, "n *image"]:
    """Draw each pixel once as 0 or 255 with its grey value as probability; the same every time for a ``part``."""
    generator = generator_for(FIXED_BINARIZATION_SEED, Stream.FIXED_BINARIZATION, part)
    chunks = [
        (torch.rand(chunk.shape, generator=generator) < as_floats(chunk)).to(torch.uint8) * 255
        for chunk in torch.split(pixels, BINARIZATION_CHUNK)
    ]
    return torch.cat(chunks)
