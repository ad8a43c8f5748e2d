"""A number that is a mean over images, and its standard error: two of them differ only beyond their errors."""

import math
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

N_ERRORS = 2.0
"""A difference counts when it is this many standard errors."""


class Mean(NamedTuple):
    """An estimate of a mean."""

    value: float
    error: float
    """Standard error; infinite of one value alone."""

    @classmethod
    def of(cls, values: Float[Tensor, " images"]) -> "Mean":
        """Return the mean of independent values and its standard error s / sqrt(n), s with n - 1 in its denominator."""
        n = len(values)
        values = values.double()
        return cls(float(values.mean()), float(values.std() / math.sqrt(n)) if n > 1 else math.inf)

    @classmethod
    def of_share(cls, share: float, n: int) -> "Mean":
        """Return a share of ``n`` independent things, with the standard error sqrt(p (1 - p) / n).

        Where none or all are counted, half a thing more or less stands in p for what n cannot tell.
        """
        p = min(max(share, 0.5 / n), 1 - 0.5 / n)
        return cls(share, math.sqrt(p * (1 - p) / n))

    @property
    def told_error(self) -> float | None:
        """The error as results tell it: None where there is none to tell."""
        return self.error if math.isfinite(self.error) else None

    def surely_above(self, other: "Mean | float") -> bool:
        """Say whether it is above another number by more than two standard errors of the difference."""
        value, error = (other.value, other.error) if isinstance(other, Mean) else (other, 0.0)
        return self.value - value > N_ERRORS * math.hypot(self.error, error)
