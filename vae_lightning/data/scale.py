"""What a value of the data means: a byte of 0 to 255, a share in [0, 1], a real number, a count, or 0 or 1.

It is said by ``data.scale``, or read off type *and* range; never off a type alone.
"""

from typing import Literal

import torch
from torch import Tensor

from vae_lightning.errors import Code, UserError

Scale = Literal["bytes", "unit", "real", "counts", "binary"]
ScaleOption = Literal["auto", "bytes", "unit", "real", "counts", "binary"]
IN_UNIT_INTERVAL = ("bytes", "unit", "binary")
"""Scales whose values a model sees in [0, 1]."""
IN_WORDS: dict[str, str] = {
    "bytes": "bytes, divided by 255",
    "unit": "in [0, 1]",
    "real": "real numbers",
    "counts": "counts",
    "binary": "0 or 1",
}
KEY = "data.scale"


def scale_of(values: Tensor) -> Scale:
    """Return what values mean by their type and range.

    Bytes of 0 and 1 alone are binary, others are pixels. Whole numbers of another type are counts, for nothing says
    that they stop at 255; but floats that are whole numbers of 0 to 255 and have the shape of images are pixels.
    """
    if values.dtype is torch.bool:
        return "binary"
    least, largest = (float(bound) for bound in torch.aminmax(values))
    if values.dtype is torch.uint8:
        return "bytes" if largest > 1 else "binary"
    whole = not values.is_floating_point() or bool((values == values.round()).all())
    if whole and least >= 0:
        if largest <= 1:
            return "binary"
        is_image = values.is_floating_point() and min(values.shape[-2:]) > 1
        return "bytes" if is_image and largest <= 255 else "counts"
    return "unit" if least >= 0 and largest <= 1 else "real"


def joint_scale(one: Scale, other: Scale) -> Scale:
    """Return what the values of two parts mean together: one part may happen to show less than the other."""
    if one == other:
        return one
    found = {one, other}
    if "real" in found:
        return "real"
    if "binary" in found:  # a part of few images, none of which has a grey pixel
        return next(iter(found - {"binary"}))
    return "counts" if found == {"bytes", "counts"} else "real"


def check_scale(values: Tensor, scale: Scale, part: str) -> None:
    """Raise UserError unless ``values`` can be what ``scale`` says. ``part`` names them for a person."""
    values = values.to(torch.uint8) if values.dtype is torch.bool else values
    least, largest = (float(bound) for bound in torch.aminmax(values))
    whole = not values.is_floating_point() or bool((values == values.round()).all())
    fits = {
        "bytes": whole and least >= 0 and largest <= 255,
        "unit": least >= 0 and largest <= 1,
        "real": True,
        "counts": whole and least >= 0,
        "binary": whole and least >= 0 and (largest <= 1 or bool(((values == 0) | (values == 255)).all())),
    }
    if not fits[scale]:
        kind = "whole numbers" if whole else "numbers"
        valid = [name for name, does in fits.items() if does]
        message = f"{KEY}={scale}: {part} hold {kind} from {least:g} to {largest:g}; take {' or '.join(valid)}"
        raise UserError(message, Code.INCOMPATIBLE, [KEY])


def stored(values: Tensor, scale: Scale) -> Tensor:
    """Return values as they lie in memory: bytes where the model sees 255ths, else 32-bit floats."""
    if scale == "bytes":
        return values.to(torch.uint8)
    if scale == "binary":
        return (values > 0).to(torch.uint8) * 255
    return values.float()
