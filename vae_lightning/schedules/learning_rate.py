"""Learning rates over time: step of the run -> multiplier of every optimiser's rate, as pure functions."""

import math
from typing import Annotated

from pydantic import Field

from vae_lightning.training_step import Length, TrainingStep, steps_of


def cosine_decay(at: TrainingStep, *, length: Length, final: Annotated[float, Field(ge=0, le=1)]) -> float:
    """Fall from 1 to ``final`` by half a cosine over ``length``, then stay (Loshchilov & Hutter 2017, eq. 5)."""
    done = min(1.0, at.step / steps_of(length, at.steps_per_epoch, at.total_steps))
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done))


def staircase(at: TrainingStep, *, n_stages: Annotated[int, Field(ge=1)], length: Length) -> float:
    """Return 10^(-i/7) in stage i, each stage three times as long as the one before (Burda et al. 2015, section 5).

    Burda's own is ``n_stages=8`` over 3,280 epochs: stage i lasts 3^i epochs. Over another ``length`` the stages keep
    their proportions; after it the last stage's rate stays.
    """
    units = (3**n_stages - 1) // 2
    position = at.step * units / steps_of(length, at.steps_per_epoch, at.total_steps)
    stage = sum(position >= (3**i - 1) // 2 for i in range(1, n_stages))
    factor: float = 10 ** (-stage / 7)
    return factor
