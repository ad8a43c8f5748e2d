"""What a source may return -> the official parts: arrays, tensors, tuples of them, Datasets, with labels or without.

There is one check of what was returned, with one clear error each.
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor

from vae_lightning.data.files import NAMES_OF_ARRAYS, content_of
from vae_lightning.data.splits import Images, Splits
from vae_lightning.errors import Code, UserError
from vae_lightning.randomness import Stream, generator_for

Fraction = Annotated[float, Field(gt=0, lt=1)]
Layout = Literal["auto", "NHW", "NHWC", "NCHW", "table"]
"""The order of an array's dimensions: N images, H rows, W columns, C channels; a table has a row for each."""
DIMENSIONS = {"NHW": 3, "NHWC": 4, "NCHW": 4, "table": 2}
CHANNELS = (1, 3, 4)
"""By which a dimension is known as that of the channels: grey, colours, and colours with an opacity."""
MOST_CLASSES = 1_000
"""Numbers from there on are names of classes, not their ranks."""
LEAST_IMAGES = 2
"""In each part: of one there is no variance."""


def as_splits(
    found: Any, *, layout: Layout = "auto", test_fraction: float | None = None, split_seed: int = 0
) -> Splits:
    """Return the two parts of what a source returned.

    A pair of parts is taken as training and test; each part is an array or tensor, a pair of it and its labels, a
    Dataset, or :class:`Images`. A single part is split: ``test_fraction`` of it, drawn by ``split_seed``, is the test
    part.

    Raises:
        UserError: it is none of these, or what it holds cannot be images.
    """
    if isinstance(found, Splits):
        return found
    if isinstance(found, Mapping):
        found = _of_mapping(found)
    if _is_pair_of_parts(found):
        training, test = (as_images(part, layout, name) for part, name in zip(found, ("training", "test"), strict=True))
        return Splits(training, test)
    images = as_images(found, layout, "data")
    if test_fraction is None:
        message = (
            "data: there is no test part; data=own, which calls a function of yours, draws one (data.test_fraction)"
        )
        raise UserError(message, Code.MISSING, ["data"])
    return split_off(images, test_fraction, split_seed)


_last: list[tuple[str, Splits]] = []
"""The parts that a source gave last: what they are is asked before they are used."""


def remembered(source: Any) -> Splits:
    """Return the parts of a source, and keep them for whoever asks next."""
    key = _key(source)
    if key and _last and _last[0][0] == key:
        return _last[0][1]
    splits = as_splits(source())
    _last[:] = [(key, splits)] if key else []
    return splits


def taken(source: Any) -> Splits:
    """Return the parts of a source: those that are kept of it, which are then no longer kept, or loaded now."""
    kept = _last[0][1] if _last and _last[0][0] == _key(source) else None
    _last.clear()
    return as_splits(source()) if kept is None else kept


def _key(source: Any) -> str | None:
    """Return what decides the parts of a source; None where it has no lasting name."""
    try:
        return json.dumps(source, default=spelled, sort_keys=True)
    except TypeError:
        return None


def spelled(value: Any) -> Any:
    """Return a function, with the arguments bound to it, in words. Raises TypeError of what has no lasting name."""
    if isinstance(value, partial):
        return [spelled(value.func), value.args, dict(value.keywords)]
    if isinstance(value, Mapping):  # of OmegaConf
        return dict(value)
    name = f"{value.__module__}.{value.__qualname__}" if callable(value) and hasattr(value, "__qualname__") else "<"
    if "<" in name:  # a local function, a lambda, an object
        raise TypeError(f"{value!r} has no lasting name")
    return name


def split_off(images: Images, test_fraction: float, split_seed: int) -> Splits:
    """Return images as a training part and a test part drawn by a seed. It is the same for all runs."""
    n = len(images.pixels)
    if n < 2 * LEAST_IMAGES:
        message = (
            f"data: {n} image{'' if n == 1 else 's'}; there must be at least {2 * LEAST_IMAGES}, to train and to test"
        )
        raise UserError(message, Code.INVALID, ["data"])
    n_test = max(LEAST_IMAGES, round(test_fraction * n))
    order = torch.randperm(n, generator=generator_for(split_seed, Stream.TEST_SPLIT))
    return Splits(images.select(order[n_test:].sort().values), images.select(order[:n_test].sort().values))


def _of_mapping(found: Mapping[str, Any]) -> Any:
    content = content_of(found)
    if content is None:
        message = f"data: a dict with the keys {', '.join(sorted(map(str, found)))}; it must have {NAMES_OF_ARRAYS}"
        raise UserError(message, Code.INVALID, ["data"])
    parts = [part.values if part.labels is None else tuple(part) for part in content if part is not None]
    return tuple(parts) if len(parts) > 1 else parts[0]


def _is_pair_of_parts(found: Any) -> bool:
    """Say whether something is a training and a test part, not a part and its labels."""
    if not isinstance(found, tuple | list) or len(found) != 2:
        return False
    if not _is_array(found[1]):
        return True
    if isinstance(found, list):  # of images
        return False
    labels_at_most = np.ndim(found[1]) < 2 or (np.shape(found[1])[1:] == (1,) and np.shape(found[0])[1:] != (1,))
    return not labels_at_most


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray | Tensor | list)


def as_images(part: Any, layout: Layout = "auto", name: str = "data") -> Images:
    """Return one part with its labels, zeros where it has none. Raises UserError where it cannot be that."""
    if isinstance(part, Images):
        return part
    if isinstance(part, tuple) and len(part) == 2:
        pixels, labels = part
    elif _is_array(part):
        pixels, labels = part, None
    elif hasattr(part, "__getitem__") and hasattr(part, "__len__") and not isinstance(part, tuple | str | Mapping):
        pixels, labels = _of_dataset(part, name)
    else:
        message = (
            f"data: {name} is a {type(part).__name__}; a source returns arrays, tensors, (values, labels) or a Dataset"
        )
        raise UserError(message, Code.INVALID, ["data"])
    values = in_layout(as_tensor(pixels, name), layout, name)
    check_finite(values, name)
    return Images(values, as_labels(labels, len(values), name))


def check_finite(values: Tensor, name: str) -> None:
    """Raise UserError with the first row, from 0, that holds a number which is not finite."""
    if values.is_floating_point() and not (finite := values.flatten(1).isfinite().all(1)).all():
        bad = (~finite).nonzero().flatten()
        message = (
            f"data: {len(bad)} rows of {name} hold numbers that are not finite (NaN or infinite), the first of them "
        )
        raise UserError(f"{message}row {int(bad[0])}, counted from 0; leave them out", Code.NOT_FINITE, ["data"])


def as_tensor(values: Any, name: str) -> Tensor:
    """Return values as a tensor of numbers."""
    if isinstance(values, Tensor):
        tensor = values.detach().cpu()
    else:
        try:
            array = np.asarray(values)
            if array.dtype.kind == "u" and array.dtype != np.uint8:  # torch can do little with these
                array = array.astype(np.int64)
            tensor = torch.from_numpy(array if array.flags.writeable and array.flags.c_contiguous else array.copy())
        except (TypeError, ValueError) as error:
            message = f"data: {name} cannot be read as an array of numbers ({error})"
            raise UserError(message, Code.INVALID, ["data"]) from error
    if tensor.is_complex():
        raise UserError(f"data: {name} hold complex numbers", Code.INVALID, ["data"])
    return tensor


def in_layout(values: Tensor, layout: Layout, name: str) -> Tensor:
    """Return an array as images of channels x height x width; the rows of a table are images of 1 x 1 x columns."""
    shape = "x".join(map(str, values.shape))
    found = layout if layout != "auto" else _layout_of(values, name)
    if values.ndim != DIMENSIONS[found]:
        message = f"data.layout={found}: {name} have the shape {shape}; this layout has {DIMENSIONS[found]} dimensions"
        raise UserError(message, Code.INCOMPATIBLE, ["data.layout"])
    if found == "table":
        return values[:, None, None, :]
    if found == "NHW":
        return values[:, None]
    return values.movedim(3, 1).contiguous() if found == "NHWC" else values


def _layout_of(values: Tensor, name: str) -> Layout:
    if values.ndim in {2, 3}:
        return "table" if values.ndim == 2 else "NHW"
    shape = "x".join(map(str, values.shape))
    if values.ndim != 4:
        message = f"data: {name} have the shape {shape}; a table has 2 dimensions, images have 3 or 4"
        raise UserError(message, Code.INVALID, ["data"])
    one, two, three = values.shape[1:]
    first, last = one in CHANNELS, three in CHANNELS
    if first and last:  # the channels are fewer than the sides
        first, last = one < min(two, three), three < min(one, two)
    if first == last:
        message = f"data.layout=auto: the shape {shape} of {name} does not tell; take NCHW or NHWC"
        raise UserError(message, Code.INCOMPATIBLE, ["data.layout"])
    return "NCHW" if first else "NHWC"


def as_labels(labels: Any, n_images: int, name: str) -> Int[Tensor, " n"]:
    """Return a class of each image, as whole numbers from 0: names and other numbers are ranked."""
    if labels is None:
        return torch.zeros(n_images, dtype=torch.long)
    array = np.asarray(labels.cpu() if isinstance(labels, Tensor) else labels)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (n_images,):
        shape = "x".join(map(str, array.shape))
        message = f"data.labels: {shape} labels for {n_images} {name} images; there must be one for each"
        raise UserError(message, Code.INCOMPATIBLE, ["data.labels"])
    if array.dtype.kind == "f" and not (array == np.round(array)).all():
        message = (
            f"data.labels: {name} labels are not whole numbers (the first is {array[array != np.round(array)][0]:g})"
        )
        raise UserError(message, Code.INVALID, ["data.labels"])
    if array.dtype.kind in "iuf" and array.size and 0 <= array.min() <= array.max() < MOST_CLASSES:
        return torch.from_numpy(array.astype(np.int64))
    return torch.from_numpy(np.unique(array, return_inverse=True)[1].astype(np.int64))


def _of_dataset(dataset: Any, name: str) -> tuple[Any, Any]:
    """Return the values and labels of a Dataset, item by item: tensors, arrays or PIL images."""
    if not len(dataset):
        raise UserError(f"data: the {name} Dataset is empty", Code.INVALID, ["data"])
    items = [dataset[index] for index in range(len(dataset))]
    has_labels = isinstance(items[0], tuple | list)
    values = [_item(item[0] if has_labels else item) for item in items]
    if other := next((value for value in values if value.shape != values[0].shape), None):
        shapes = f"{tuple(values[0].shape)} and {tuple(other.shape)}"
        raise UserError(f"data: items of the {name} Dataset have different shapes, as {shapes}", Code.INVALID, ["data"])
    labels = [_label(item[1]) for item in items] if has_labels and len(items[0]) > 1 else None
    known = labels if labels is not None and all(np.ndim(label) == 0 for label in labels) else None
    return torch.stack(values), known


def _item(value: Any) -> Tensor:
    """Return an item as channels x height x width; PIL images and arrays of images have the channels last."""
    if isinstance(value, Tensor):
        return value.flatten() if value.ndim == 1 else value
    array = np.array(value)
    tensor = torch.from_numpy(array)
    return tensor.movedim(2, 0) if tensor.ndim == 3 and array.shape[2] in CHANNELS else tensor


def _label(label: Any) -> Any:
    return label.item() if isinstance(label, Tensor) and label.numel() == 1 else label


def check_parts(splits: Splits) -> None:
    """Raise UserError unless both parts have images, of one shape and of finite numbers."""
    for images, name in zip(splits, ("training", "test"), strict=True):
        if len(images.pixels) < LEAST_IMAGES:
            message = f"data: {len(images.pixels)} {name} images; there must be at least {LEAST_IMAGES}"
            raise UserError(message, Code.INVALID, ["data"])
        if images.pixels[0].numel() == 0:
            raise UserError(f"data: the {name} images have no pixels", Code.INVALID, ["data"])
        check_finite(images.pixels, f"{name} images")
    one, other = (tuple(images.pixels.shape[1:]) for images in splits)
    if one != other:
        message = f"data: training images have the shape {one}, test images {other}"
        raise UserError(message, Code.INCOMPATIBLE, ["data"])


def common_type(splits: Splits) -> Sequence[Tensor]:
    """Return the pixels of both parts in a type that holds the values of either."""
    training, test = (images.pixels for images in splits)
    kind = torch.promote_types(training.dtype, test.dtype)
    return training.to(kind), test.to(kind)
