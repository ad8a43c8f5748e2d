"""What rows of data cannot be, and what a person should know of their columns."""

from collections.abc import Iterator

import torch
from torch import Tensor

from vae_lightning.errors import Code, UserError

FEW_VALUES = 50
"""A column of whole numbers with fewer different ones is one of labels."""
FEW_STEPS = 100
"""Between neighbouring numbers of single precision: what varies by fewer is known badly."""
DOMINANT = 0.9
"""Share of all variance from which one column is the only one that a squared error sees."""
AT_ONCE = 10_000_000
"""Numbers that are in memory as double precision at a time."""


def about_columns(values: Tensor) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return notes on the columns, and what should be mended before a training, in sentences."""
    variance = _variance(values)
    return tuple(_constant(variance)), (*_dominant(variance), *_far_off(values, variance))


def check_rows(values: Tensor, found: Tensor, name: str) -> None:
    """Raise UserError where these cannot be rows of data."""
    shape = "x".join(map(str, values.shape))
    if not values.ndim or not values.numel():
        raise UserError(f"{name}: no values (the shape is {shape or 'that of one number'})", Code.INVALID, [name])
    if values.ndim < 2 or _are_labels(found):
        message = f"{name}: one number for each row, as labels are (the shape is {shape}); data are rows of values"
        raise UserError(message, Code.INVALID, [name])
    if len(values) == 1:
        raise UserError(f"{name}: one row; there must be at least 2, of one nothing varies", Code.INVALID, [name])
    finite = values.flatten(1).isfinite().all(1)
    if not finite.all():
        bad = (~finite).nonzero().flatten()
        message = f"{name}: {len(bad)} rows hold numbers that are not finite (NaN or infinite), the first of them row "
        raise UserError(f"{message}{int(bad[0])}, counted from 0; leave them out", Code.NOT_FINITE, [name])
    if bool((values == values[:1]).all()):
        raise UserError(f"{name}: all {len(values):,} rows are the same; nothing varies", Code.INVALID, [name])


def _are_labels(found: Tensor) -> bool:
    return found[0].numel() == 1 and not found.is_floating_point() and len(found.unique()) < FEW_VALUES


def _constant(variance: Tensor) -> Iterator[str]:
    """Say how many columns never vary."""
    if constant := int((variance <= 0).sum()):
        is_or_are = "value of each row never varies" if constant == 1 else "values of each row never vary"
        yield f"{constant} of {len(variance):,} {is_or_are}, so that no code can tell of them"


def _dominant(variance: Tensor) -> Iterator[str]:
    """Say which column hides all others from a squared error."""
    share = variance / variance.sum()
    if int((variance > 0).sum()) > 2 and float(share.max()) > DOMINANT:
        column = int(share.argmax())
        what = f"column {column} has {float(share[column]):.0%} of the variance"
        yield f"{what}, so that a squared error sees little else: standardise the columns"


def _far_off(values: Tensor, variance: Tensor) -> Iterator[str]:
    """Say which column lies so far from 0 that single precision hardly knows how it varies."""
    size = values.flatten(1).mean(0, dtype=torch.float64).abs()
    lost = (variance > 0) & (variance.sqrt() < FEW_STEPS * torch.finfo(torch.float32).eps * size)
    if bool(lost.any()):
        column = int(lost.nonzero()[0])
        what = f"column {column} lies near {float(size[column]):.3g} and varies by {float(variance[column]) ** 0.5:.3g}"
        yield f"{what}, which single precision hardly knows: subtract an offset"


def _variance(values: Tensor) -> Tensor:
    """Return the variance of each column, in pieces that fit into memory as double precision."""
    flat = values.flatten(1)
    mean, total = flat.mean(0, dtype=torch.float64), torch.zeros(flat.shape[1], dtype=torch.float64)
    for piece in flat.split(max(1, AT_ONCE // flat.shape[1])):
        total += (piece.double() - mean).square().sum(0)
    return total / len(flat)
