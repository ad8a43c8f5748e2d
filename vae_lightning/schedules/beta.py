"""Beta schedules without feedback: step of the run -> multiplier in [0, 1] of the KL weight, as pure functions.

They know nothing of the end of the run: past it a rise goes on to 1 and stays, and a cycle goes on cycling.
"""

import math
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field

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
    """Rise from 0 to 1 over ``length``, then stay (linear: Sonderby et al. 2016).

    Args:
        at: where the run stands.
        shape: linear v, or cosine (1 - cos(pi v)) / 2.
        length: a share of the run, or epochs.
    """
    v = at.step / steps_of(length, at.steps_per_epoch, at.total_steps)
    return SHAPES[shape](v) if v < 1 else 1.0


def sigmoid(at: TrainingStep, *, midpoint: Length, width: Length) -> float:
    """Return 1 / (1 + exp(-k (t - t0))), t0 = ``midpoint``, k = 12 / ``width`` (Bowman et al. 2016, section 3.1).

    Within ``width`` around the midpoint it goes from 0.0025 to 0.9975.
    """
    t0, extent = (steps_of(length, at.steps_per_epoch, at.total_steps) for length in (midpoint, width))
    return logistic(12 * (at.step - t0) / extent)


def cyclical(at: TrainingStep, *, shape: Shape, n_cycles: Annotated[int, Field(ge=1)], ramp: Length) -> float:
    """Rise from 0 to 1 over ``ramp`` of each of ``n_cycles`` equal cycles, stay, restart (Fu et al. 2019, eq. 6-7).

    Args:
        at: where the run stands.
        shape: of the rise.
        n_cycles: M, cycles in the run.
        ramp: R, a share of a cycle, or epochs; after it the multiplier is 1.
    """
    # Whole numbers first: a cycle may be no whole number of steps, and its start must still be exactly 0.
    position = (at.step * n_cycles % at.total_steps) / n_cycles
    v = position / steps_of(ramp, at.steps_per_epoch, at.total_steps / n_cycles)
    return SHAPES[shape](v) if v <= 1 else 1.0
