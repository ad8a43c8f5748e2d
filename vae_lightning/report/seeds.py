"""Numbers of several seeds: their mean and its standard error, and whether two of them differ."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
from scipy import stats

CONFIDENCE = 0.95
SAME = 1e-6
"""Of a mean: an error below is rounding."""


class OverSeeds(NamedTuple):
    """A mean over runs, or a difference of two."""

    value: float
    error: float
    """Standard error; not a number of one run alone."""
    degrees: float
    """Of freedom that the error has."""

    @property
    def reach(self) -> float:
        """How far the 95 % interval reaches to each side (Student's t); infinite of one run alone."""
        if not self.degrees > 0:
            return math.inf
        return float(stats.t.ppf(0.5 + CONFIDENCE / 2, self.degrees)) * self.error

    def text(self, style: str) -> str:
        """Return value and error as text; no error where all seeds agree, or where there is one alone.

        The error has as many places as the value, or more where it would be 0.
        """
        value = format(self.value, style)
        if math.isnan(self.error) or self.error <= SAME * abs(self.value):
            return value
        error = format(self.error, style if style.endswith(("f", "%")) else ".2g")
        return f"{value} ± {error if float(error.rstrip('%')) else format(self.error, '.1g')}"


def over_seeds(values: Sequence[float] | pd.Series) -> OverSeeds:
    """Return the mean of runs that differ in the seed alone, and its standard error."""
    column = pd.Series(values, dtype=float).dropna()
    n = len(column)
    error = float(column.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return OverSeeds(float(column.mean()), error, n - 1)


def difference(one: OverSeeds, other: OverSeeds) -> OverSeeds:
    """Return ``one`` minus ``other``, with Welch's degrees of freedom (Welch 1947): the two may scatter differently.

    Example:
        >>> gain = difference(over_seeds([3.0, 3.2, 3.1]), over_seeds([1.0, 1.1, 1.2]))
        >>> gain.text(".2f"), gain.value > gain.reach
        ('2.00 ± 0.08', True)
    """
    gap, error = one.value - other.value, math.hypot(one.error, other.error)
    if not min(one.degrees, other.degrees) > 0:
        return OverSeeds(gap, math.nan, 0)
    spread = one.error**4 / one.degrees + other.error**4 / other.degrees
    return OverSeeds(gap, error, error**4 / spread if spread else one.degrees + other.degrees)
