"""Anyone's data -> rows of numbers as a loss sees them: arrays, tensors, frames, sparse matrices, Datasets, loaders."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import TensorDataset

from vae_lightning.errors import Code, UserError, first_line
from vae_lightning.library.row_checks import about_columns, check_rows
from vae_lightning.library.undisturbed import undisturbed

NUMBERS = 500_000_000
"""Of the rows that are taken, at most: 2 GB."""
NAMES_OF_VALUES = ("x", "data", "input", "inputs", "image", "images", "pixel_values", "features", "X")
"""Under which a dict, or a batch that is one, has its values."""


class Rows(NamedTuple):
    """Some of the data."""

    values: Float[Tensor, "rows *shape"]
    """As the loss sees them."""
    notes: tuple[str, ...]
    """What a person should know of how they were read."""
    faults: tuple[str, ...] = ()
    """What should be mended before a training."""

    @property
    def pixels(self) -> Float[Tensor, "rows 1 1 values"]:
        """The rows as images of one line, which is how the rest of this package sees them."""
        return self.values.reshape(len(self.values), 1, 1, -1)

    def some(self, n: int) -> Float[Tensor, "some *shape"]:
        """Return ``n`` rows, evenly spread, or all of fewer."""
        return self.values if len(self.values) <= n else self.values[spread(len(self.values), n)]


def rows_of(x: Any, most: int, *, bytes_are_counts: bool = False, name: str = "x") -> Rows:
    """Return up to ``most`` rows of the data, evenly spread over what has an index; labels beside them are left out.

    Floats, counts and 0 or 1 are taken as they are; bytes, which no network takes, are divided by 255 unless they are
    counts.

    Raises:
        UserError: it is none of what can be read, or has no rows, one row, labels for rows, or numbers that are not
            finite.
    """
    found, n_in_all = _tensor_of(x, most, name)
    values = _floats(found, bytes_are_counts)
    check_rows(values, found, name)
    which = "the first of the DataLoader" if _is_loader(x) else "evenly spread"
    notes = [f"{len(values):,} of {n_in_all:,} rows, {which}"] if n_in_all > len(values) else []
    if _are_bytes(found) and not bytes_are_counts:
        notes.append("bytes, divided by 255")
    more, faults = about_columns(values)
    return Rows(values, (*notes, *more), faults)


def spread(n: int, most: int) -> Tensor:
    """Return which of ``n`` things to take: ``most`` of them, evenly spread."""
    return torch.linspace(0, n - 1, min(n, most)).round().long()


def _tensor_of(x: Any, most: int, name: str) -> tuple[Tensor, int]:
    """Return some of the rows, and how many there are in all."""
    if isinstance(x, TensorDataset):
        x = x.tensors[0]
    if isinstance(x, Mapping):
        x = values_of_item(x, name)
    if _is_loader(x):
        return _of_batches(x, most, name)
    if hasattr(x, "toarray"):  # sparse
        x = x[spread(x.shape[0], most).numpy()].toarray() if x.shape[0] > most else x.toarray()
    elif hasattr(x, "to_numpy"):  # a frame
        x = x.to_numpy()
    elif not isinstance(x, Tensor | np.ndarray | list | tuple) and hasattr(x, "__getitem__") and hasattr(x, "__len__"):
        chosen = spread(len(x), most).tolist()
        items = [_as_tensor(values_of_item(x[index], name), name) for index in chosen]
        return _stacked(items, name), len(x)
    if isinstance(x, str):
        raise UserError(f"{name}: a text; if {x!r} is a file, load it first", Code.INVALID, [name])
    tensor = _as_tensor(x, name)
    n = len(tensor) if tensor.ndim else 0
    affordable = min(most, max(2, NUMBERS // max(1, tensor[0].numel()))) if n else most
    return (tensor, n) if n <= affordable else (tensor[spread(n, affordable)], n)


def _is_loader(x: Any) -> bool:
    return hasattr(x, "dataset") and hasattr(x, "__iter__")


def _of_batches(loader: Iterable[Any], most: int, name: str) -> tuple[Tensor, int]:
    """Return the first rows of a DataLoader, which has no index; every random state stays as it is, its own too."""
    found: list[Tensor] = []
    with undisturbed(loader):
        for batch in _until(loader, most, name):
            found.append(batch)
    if not found:
        raise UserError(f"{name}: the DataLoader gives no batches", Code.INVALID, [name])
    rows = torch.cat(found)
    in_all = len(loader.dataset) if hasattr(loader.dataset, "__len__") else len(rows)  # type: ignore[attr-defined]
    return rows[:most], in_all


def _until(loader: Iterable[Any], most: int, name: str) -> Iterator[Tensor]:
    n = 0
    for batch in loader:
        values = _as_tensor(values_of_item(batch, name), name)
        yield values
        n += len(values)
        if n >= min(most, max(2, NUMBERS // max(1, values[0].numel()))):
            return


def values_of_item(item: Any, name: str) -> Any:
    """Return the values of an item or a batch that may have labels or names beside them, at any depth.

    Raises:
        UserError: a dict has them under none of the usual names.
    """
    if isinstance(item, Mapping):
        for key in NAMES_OF_VALUES:
            if key in item:
                return values_of_item(item[key], name)
        message = f"{name}: a dict with the keys {', '.join(map(str, item))}; the values are looked for under one of "
        raise UserError(message + ", ".join(NAMES_OF_VALUES), Code.INVALID, [name])
    if isinstance(item, tuple | list) and item and not isinstance(item[0], int | float):
        return values_of_item(item[0], name)
    return item


def _stacked(items: list[Tensor], name: str) -> Tensor:
    if not items:
        raise UserError(f"{name}: no rows", Code.INVALID, [name])
    if other := next((item for item in items if item.shape != items[0].shape), None):
        shapes = f"{tuple(items[0].shape)} and {tuple(other.shape)}"
        raise UserError(f"{name}: items have different shapes, as {shapes}", Code.INVALID, [name])
    return torch.stack(items)


def _as_tensor(values: Any, name: str) -> Tensor:
    if isinstance(values, Tensor):
        tensor = values.detach().cpu()
    else:
        try:
            array = np.asarray(values)
            if array.dtype.kind == "u" and array.dtype != np.uint8:
                array = array.astype(np.int64)
            tensor = torch.from_numpy(array if array.flags.writeable and array.flags.c_contiguous else array.copy())
        except (TypeError, ValueError) as error:
            what = f"{name}: a {type(values).__name__} that cannot be read as numbers ({first_line(error)})"
            valid = "an array, a tensor, a frame of numbers, a Dataset or a DataLoader can"
            raise UserError(f"{what}; {valid}", Code.INVALID, [name]) from error
    if tensor.is_complex():
        raise UserError(f"{name}: complex numbers", Code.INVALID, [name])
    return tensor


def _floats(values: Tensor, bytes_are_counts: bool) -> Tensor:
    return values.float().div_(255) if _are_bytes(values) and not bytes_are_counts else values.float()


def _are_bytes(values: Tensor) -> bool:
    """Say whether values are pixels of 0 to 255: bytes of 0 and 1 alone are binary."""
    return values.dtype is torch.uint8 and bool((values > 1).any())
