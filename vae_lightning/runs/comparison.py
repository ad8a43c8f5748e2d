"""Whether two runs are the same, bit for bit: weights, optimiser, schedules, curves, results."""

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vae_lightning.runs.checkpoints import load_checkpoint
from vae_lightning.runs.curves import FILE_NAME
from vae_lightning.runs.directory import newest_checkpoint, read_results

MAY_DIFFER = ("seconds", "command")
"""Keys of the results that tell of the processes that computed them."""
CLOCK = "time_elapsed"
"""The key of a checkpoint under which Lightning's timer keeps its state."""


def run_differences(first: Path, second: Path) -> list[str]:
    """Return a line for each difference between two finished runs: of their last checkpoints, curves and results."""
    here, there = (newest_checkpoint(folder) for folder in (first, second))
    if here is None or there is None:
        return ["checkpoint: missing"]
    lines = [f"checkpoint: {line}" for line in content_differences(load_checkpoint(here), load_checkpoint(there), "")]
    if (first / FILE_NAME).read_bytes() != (second / FILE_NAME).read_bytes():
        lines.append(f"{FILE_NAME}: {_first_other_line(first / FILE_NAME, second / FILE_NAME)}")
    found, expected = ({**(read_results(folder) or {}), **dict.fromkeys(MAY_DIFFER)} for folder in (first, second))
    return lines + [f"results.json: {line}" for line in content_differences(found, expected, "")]


def content_differences(first: Any, second: Any, path: str) -> Iterator[str]:
    """Return a line for each difference between two nested containers of tensors and plain values."""
    if isinstance(first, dict) and isinstance(second, dict):
        for key in {**first, **second}:
            if key != CLOCK:
                yield from content_differences(first.get(key), second.get(key), f"{path}/{key}")
    elif isinstance(first, list | tuple) and isinstance(second, list | tuple) and len(first) == len(second):
        for index, (one, other) in enumerate(zip(first, second, strict=True)):
            yield from content_differences(one, other, f"{path}/{index}")
    elif isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        if first.dtype != second.dtype or first.shape != second.shape or not torch.equal(_bytes(first), _bytes(second)):
            yield f"{path}: other values"
    elif repr(first) != repr(second):  # as bits: minus zero is not zero, and not-a-number is itself
        yield f"{path}: {first} and {second}"


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1).view(torch.uint8)


def _first_other_line(first: Path, second: Path) -> str:
    pairs = zip_longest(*(path.read_bytes().split(b"\n") for path in (first, second)), fillvalue=b"missing")
    number, (one, other) = next(numbered for numbered in enumerate(pairs, 1) if numbered[1][0] != numbered[1][1])
    return f"line {number} is {one.decode()} and {other.decode()}"
