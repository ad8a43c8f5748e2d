"""How often convolutions halve an image, and how wide they are at each size."""

import math
from collections.abc import Sequence

from vae_lightning.errors import Code, UserError

SMALLEST = 8
"""Pixels that a side must have for convolutions."""
SHORTEST = 7
"""Pixels to which the shorter side is halved."""
WIDEST = 8
"""Times as many channels as at first there are at most."""


def depth_for(size: Sequence[int], depth: int | None, model: str) -> int:
    """Return how often a network halves an image: ``depth``, or until the shorter side has about 7 pixels.

    Raises UserError where the image is too small for that, as a row of numbers is.
    """
    shorter = min(size)
    most = shorter.bit_length() - 2  # to at least two pixels
    chosen = max(1, round(math.log2(max(shorter, 1) / SHORTEST))) if depth is None else depth
    if shorter < SMALLEST or chosen > most:
        told = "x".join(map(str, size))
        if shorter < SMALLEST:
            message = f"model={model} needs images of at least {SMALLEST}x{SMALLEST}, not {told}; use mlp or linear"
            raise UserError(message, Code.INCOMPATIBLE, ["model", "data"])
        message = f"model.encoder.depth={depth}: images of {told} can be halved {most} times at most"
        raise UserError(message, Code.INCOMPATIBLE, ["model.encoder.depth", "model.decoder.depth"])
    return chosen


def halvings(size: Sequence[int], depth: int) -> list[tuple[int, int]]:
    """Return the sizes from an image's down, each half of the one before, rounded up."""
    sizes = [(size[0], size[1])]
    for _ in range(depth):
        height, width = sizes[-1]
        sizes.append((math.ceil(height / 2), math.ceil(width / 2)))
    return sizes


def widths(first: int, depth: int) -> list[int]:
    """Return the channels at each depth: doubled by each halving, up to ``WIDEST`` times as many."""
    return [first * min(2**level, WIDEST) for level in range(depth + 1)]
