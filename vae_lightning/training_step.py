"""Where in a run a step stands, and lengths of time as a user writes them: a share of the run, or epochs."""

import re
from collections.abc import Callable
from typing import Annotated, NamedTuple

from pydantic import AfterValidator

_EPOCHS = re.compile(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?) *epochs?")


class TrainingStep(NamedTuple):
    """A step of a run. Schedules are pure functions of it."""

    step: int
    """Optimiser steps already taken."""
    total_steps: int
    """Optimiser steps of the whole run."""
    steps_per_epoch: int


Schedule = Callable[[TrainingStep], float]
"""A multiplier over time, without state: a pure function."""


def canonical_length(length: int | float | str) -> int | float | str:
    """Check a length of time; write epochs in one way, so that equal lengths are equal configs.

    Raises:
        ValueError: it is neither a share in (0, 1] nor epochs.
    """
    if isinstance(length, str):
        match = _EPOCHS.fullmatch(length.strip())
        if match and float(match[1]) > 0:
            return f"{float(match[1]):.12g} epochs"
    elif 0 < length <= 1:
        return length
    raise ValueError("it should be a share in (0, 1], such as 0.25, or epochs, such as '5 epochs'")


Length = Annotated[int | float | str, AfterValidator(canonical_length)]
"""A share in (0, 1] of some whole, or ``"5 epochs"``."""


def steps_of(length: Length, steps_per_epoch: int, whole: int | float) -> float:
    """Return a length in steps; a share is one of ``whole`` steps."""
    if isinstance(length, str):
        return float(length.removesuffix(" epochs")) * steps_per_epoch
    return length * whole
