"""What a benchmark found: a row with a value for each column, as a median with quartiles, and its goals."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Spread(NamedTuple):
    """The quartiles of a measurement that was repeated; one that was not has no others than its middle."""

    low: float
    middle: float
    high: float
    unit: str

    @property
    def median(self) -> str:
        """Return the median in words."""
        return f"{number(self.middle)} {self.unit}".rstrip()

    @property
    def quartiles(self) -> str:
        """Return the outer quartiles in words, or nothing where all values are one."""
        return "" if self.low == self.high else f"{number(self.low)} to {number(self.high)}"


class Goal(NamedTuple):
    """What the median of a column shall be."""

    column: str
    limit: float
    at_least: bool = False

    def met_by(self, value: Spread) -> bool:
        return value.middle >= self.limit if self.at_least else value.middle <= self.limit

    def in_words(self, row: "Row") -> str:
        """Return the goal and whether the row reaches it."""
        value = row.values.get(self.column)
        found = ("met" if self.met_by(value) else "missed") if isinstance(value, Spread) else "not measured"
        unit = value.unit if isinstance(value, Spread) else ""
        limit = f"{number(self.limit)} {unit}".rstrip()
        return f"{self.column} {'at least' if self.at_least else 'at most'} {limit}: {found}"


@dataclass(frozen=True)
class Row:
    """One line of a table. A value that could not be measured is the reason in words."""

    what: str
    values: Mapping[str, Spread | str]
    goals: Sequence[Goal] = field(default=())


def spread(values: Sequence[float], unit: str = "") -> Spread:
    """Return the quartiles of values, none of them beyond the values themselves."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0], unit)
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(low, middle, high, unit)


def ratio(above: Sequence[float], below: Sequence[float]) -> Spread:
    """Return the quartiles of the ratios of pairs that were measured one after the other."""
    return spread([a / b for a, b in zip(above, below, strict=True)])


def number(value: float) -> str:
    """Write a number with three digits that mean something, and all those before the point."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"


def columns_of(rows: Sequence[Row]) -> list[str]:
    """Return every column that a row has a value for, in the order in which they appear."""
    return list(dict.fromkeys(column for row in rows for column in row.values))
