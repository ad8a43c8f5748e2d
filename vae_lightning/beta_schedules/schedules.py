"""Beta schedules: step -> multiplier in [0, 1] of the KL weight, pure functions of the step.

Steps are optimiser steps counted from 0; ``total_steps`` is the length of the run. Lengths are shares of the run.
A schedule holds its last value past the end, except the cyclical one, which goes on cycling.
"""

from typing import Annotated

from pydantic import Field

Share = Annotated[float, Field(gt=0, le=1)]


def constant(step: int, total_steps: int) -> float:
    """Return 1 at every step."""
    return 1.0


def linear(step: int, total_steps: int, *, warmup: Share) -> float:
    """Rise from 0 to 1 over the first ``warmup`` of the run, then stay (Bowman et al. 2016; Sonderby et al. 2016)."""
    return min(1.0, step / (warmup * total_steps))


def cyclical(step: int, total_steps: int, *, n_cycles: Annotated[int, Field(ge=1)], ramp: Share) -> float:
    """Rise from 0 to 1 over ``ramp`` of each of ``n_cycles`` equal cycles, stay, restart (Fu et al. 2019, eq. 6)."""
    position = (step * n_cycles % total_steps) / total_steps
    return min(1.0, position / ramp)
