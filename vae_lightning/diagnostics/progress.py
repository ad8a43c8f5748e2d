"""Is a training over? What its curves say of what more of it would bring."""

from collections.abc import Sequence

import torch

from vae_lightning.estimates import Mean

LEAST_POINTS = 8
"""Of a curve in its last half, to say anything."""


def still_falling(objective: Sequence[float]) -> Mean | None:
    """Return how far a loss fell from the third quarter of a curve to the fourth, in its own units; None of too few.

    Where a loss comes down as c / t, as losses do in the long run, as much training again brings 0.5 c / T, and from
    the third quarter to the fourth it came down by 0.46 c / T: nearly the same. The error is by the scatter of the
    points, those of a quarter about a straight line.

    Args:
        objective: means over successive equal stretches of the training, all of one and the same loss.
    """
    n = len(objective) // 4
    if 2 * n < LEAST_POINTS:
        return None
    values = torch.tensor(objective[-2 * n :], dtype=torch.float64)
    earlier, later = values[:n], values[n:]
    variance = sum(_about_a_line(quarter) / n for quarter in (earlier, later))
    return Mean(float(earlier.mean() - later.mean()), float(variance) ** 0.5)


def _about_a_line(values: torch.Tensor) -> float:
    """Return the variance about the straight line of least squares."""
    at = torch.arange(len(values), dtype=torch.float64)
    at -= at.mean()
    centred = values - values.mean()
    rest = centred - at * (at @ centred) / (at @ at)
    return float(rest.square().sum()) / max(1, len(values) - 2)
