"""Schedules without feedback: step of the run -> multiplier in [0, 1], as pure functions.

They know nothing of the end of the run: past it a rise goes on to 1 and stays, and a cycle goes on cycling.
"""

import math
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field

from vae_lightning.ranges import Count
from vae_lightning.training_step import Length, TrainingStep, steps_of

Shape = Literal["linear", "sigmoid", "cosine"]


def logistic(x: float) -> float:
    """Return 1 / (1 + exp(-x)) without overflow."""
    return 0.5 * (1 + math.tanh(0.5 * x))


SHAPES: dict[str, Callable[[float], float]] = {
    "linear": lambda v: v,
    "sigmoid": lambda v: logistic(12 * v - 6),
    "cosine": lambda v: 0.5 * (1 - math.cos(math.pi * v)),
}
"""How a rise goes from v = 0 to v = 1 (Fu et al. 2019, section 4)."""


def constant(at: TrainingStep) -> float:
    """Return 1 at every step."""
    return 1.0


def rise(at: TrainingStep, *, shape: Literal["linear", "cosine"], length: Length) -> float:
    """Rise from 0 to 1 over ``length``, a share of the run or epochs, then stay (linear: Sonderby et al. 2016)."""
    v = at.step / steps_of(length, at.steps_per_epoch, at.total_steps)
    return SHAPES[shape](v) if v < 1 else 1.0


def sigmoid(at: TrainingStep, *, midpoint: Length, width: Length) -> float:
    """Return 1 / (1 + exp(-k (t - t0))), t0 = ``midpoint``, k = 12 / ``width`` (Bowman et al. 2016, section 3.1).

    Within ``width`` around the midpoint it goes from 0.0025 to 0.9975.
    """
    t0, extent = (steps_of(length, at.steps_per_epoch, at.total_steps) for length in (midpoint, width))
    return logistic(12 * (at.step - t0) / extent)


def cyclical(at: TrainingStep, *, shape: Shape, n_cycles: Count, ramp: Length, length: Length | None = None) -> float:
    """Rise from 0 to 1 over ``ramp`` of each of ``n_cycles`` equal cycles, stay, restart (Fu et al. 2019, eq. 6-7).

    The ``ramp`` is a share of a cycle, or epochs: the paper's R, as ``n_cycles`` is its M. The cycles fill the run, or
    a ``length`` of it, after which the multiplier stays 1.
    """
    total = at.total_steps if length is None else steps_of(length, at.steps_per_epoch, at.total_steps)
    if length is not None and at.step >= total:
        return 1.0
    # Whole numbers first: a cycle may be no whole number of steps, and its start must still be exactly 0.
    position = (at.step * n_cycles % total) / n_cycles
    v = position / steps_of(ramp, at.steps_per_epoch, total / n_cycles)
    return SHAPES[shape](v) if v <= 1 else 1.0


def cosine_decay(at: TrainingStep, *, length: Length, final: Annotated[float, Field(ge=0, le=1)]) -> float:
    """Fall from 1 to ``final`` by half a cosine over ``length``, then stay (Loshchilov & Hutter 2017, eq. 5)."""
    done = min(1.0, at.step / steps_of(length, at.steps_per_epoch, at.total_steps))
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done))


def staircase(at: TrainingStep, *, n_stages: Count, length: Length) -> float:
    """Return 10^(-i/7) in stage i, each stage three times as long as the one before (Burda et al. 2015, section 5).

    Burda's own is ``n_stages=8`` over 3,280 epochs: stage i lasts 3^i epochs. Over another ``length`` the stages keep
    their proportions; after it the last stage's rate stays.
    """
    units = (3**n_stages - 1) // 2
    position = at.step * units / steps_of(length, at.steps_per_epoch, at.total_steps)
    stage = sum(position >= (3**i - 1) // 2 for i in range(1, n_stages))
    factor: float = 10 ** (-stage / 7)
    return factor
