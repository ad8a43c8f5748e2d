"""Batches as one index operation on tensors in memory: no workers, no per-image transforms, exact positions."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from vae_lightning.data.splits import Images
from vae_lightning.randomness import Stream, generator_for

BATCHES_AT_ONCE = 10
"""Batches of a chunk. What Lightning does around each call costs a small model a quarter of its step."""


class Batch(NamedTuple):
    """One rank's share of a global batch of images."""

    pixels: Float[Tensor, "batch channels height width"]
    labels: Int[Tensor, " batch"]
    rows: Int[Tensor, " batch"]
    """Which images of the split these are."""


@dataclass
class SeededShuffle:
    """The order of an epoch as a pure function of (seed, epoch). Lightning calls ``set_epoch`` before each one."""

    n_images: int
    seed: int
    epoch: int = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def order(self) -> Int[Tensor, " n"]:
        generator = generator_for(self.seed, Stream.BATCH_ORDER, self.epoch)
        return torch.randperm(self.n_images, generator=generator)


class TrainingLoader:
    """Shuffled global batches, in chunks; each rank gets its contiguous slice of every batch. The last batch of an
    epoch may be smaller.

    A chunk is an iterator over up to ``BATCHES_AT_ONCE`` batches, and ``len(loader)`` the number of chunks in an epoch:
    what Lightning calls a batch. With ``state_dict`` the loader goes on at the very batch where it was, also inside a
    chunk; the state holds the position only, since the order is a function of (seed, epoch).
    """

    def __init__(
        self,
        images: Images,
        *,
        batch_size: int,
        seed: int,
        drop_last: bool = False,
        dynamic_binarization: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.images = images
        self.batch_size = batch_size
        self.sampler = SeededShuffle(len(images.pixels), seed)  # the name under which Lightning looks for it
        self.drop_last = drop_last
        self.dynamic_binarization = dynamic_binarization
        self.rank = rank
        self.world_size = world_size
        self._next_batch = 0
        self._resume_at: dict[str, int] | None = None

    @property
    def n_batches(self) -> int:
        """Return the number of batches in an epoch."""
        return n_batches(len(self.images.pixels), self.batch_size, self.drop_last)

    def __len__(self) -> int:
        return math.ceil(self.n_batches / BATCHES_AT_ONCE)

    def __iter__(self) -> Iterator[Iterator[Batch]]:
        # A generator: the epoch is read when the first batch is asked for, after Lightning has set it.
        order = self.sampler.order().to(self.images.pixels.device)
        resume_at, self._resume_at = self._resume_at, None
        resumes = resume_at and resume_at["epoch"] == self.sampler.epoch
        first = resume_at["next_batch"] if resume_at and resumes else 0
        for chunk in range(first // BATCHES_AT_ONCE, len(self)):
            begin, end = chunk * BATCHES_AT_ONCE, (chunk + 1) * BATCHES_AT_ONCE
            yield self._chunk(order, range(max(begin, first), min(end, self.n_batches)))

    def _chunk(self, order: Int[Tensor, " n"], indices: range) -> Iterator[Batch]:
        for index in indices:
            rows = order[index * self.batch_size : (index + 1) * self.batch_size]
            yield self._batch(rows, Stream.TRAINING_BINARIZATION, self.sampler.epoch, index)
            self._next_batch = index + 1  # once the next is asked for: a batch in hand is not done yet

    def batches(self) -> Iterator[Batch]:
        """Return the batches of an epoch one by one."""
        return chain.from_iterable(self)

    def drawn_batch(self, *position: int) -> Batch:
        """Return this rank's share of a batch drawn at random, as a function of the seed and a position."""
        generator = generator_for(self.sampler.seed, Stream.REFINEMENT_BATCH, *position)
        rows = torch.randint(len(self.images.pixels), (self.batch_size,), generator=generator)
        return self._batch(rows.to(self.images.pixels.device), Stream.REFINEMENT_BINARIZATION, *position)

    def _batch(self, global_rows: Int[Tensor, " global_batch"], stream: Stream, *position: int) -> Batch:
        size = len(global_rows) // self.world_size
        share = slice(self.rank * size, (self.rank + 1) * size)
        rows = global_rows[share]
        chosen = self.images.select(rows)
        pixels = as_floats(chosen.pixels)
        if self.dynamic_binarization:
            # Drawn for the whole global batch, so that the ranks together see what one device would.
            generator = generator_for(self.sampler.seed, stream, *position, device=pixels.device)
            shape = (len(global_rows), *pixels.shape[1:])
            uniform = torch.rand(shape, generator=generator, device=pixels.device)
            pixels = (uniform[share] < pixels).float()
        return Batch(pixels, chosen.labels, rows)

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.sampler.epoch, "next_batch": self._next_batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.sampler.set_epoch(state["epoch"])
        self._next_batch = state["next_batch"]
        self._resume_at = dict(state)


class EvaluationLoader:
    """A split in order, once; each rank gets a contiguous part, so that no image is counted twice."""

    def __init__(self, images: Images, *, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        rows = torch.arange(len(images.pixels), device=images.pixels.device)
        self.images = images
        self.batches = rows.tensor_split(world_size)[rank].split(batch_size)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        for rows in self.batches:
            chosen = self.images.select(rows)
            yield Batch(as_floats(chosen.pixels), chosen.labels, rows)


def n_batches(n_images: int, batch_size: int, drop_last: bool) -> int:
    """Return the number of batches in an epoch."""
    return n_images // batch_size if drop_last else math.ceil(n_images / batch_size)


def as_floats(pixels: UInt8[Tensor, "*shape"] | Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Turn bytes into [0, 1]; leave floats as they are."""
    return pixels if pixels.is_floating_point() else pixels.float().div_(255)
