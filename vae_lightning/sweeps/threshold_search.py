"""The KL weight at which the number of active units changes: bisection on a log scale.

Several searches go on at once, so that all slots have work: a round of jobs answers them together. Root finders such
as ``scipy.optimize.bisect`` ask for one value after another, of a function that is continuous; here it is a count.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, PositiveInt
from rich.console import Console
from rich.text import Text

from vae_lightning.errors import Code, UserError
from vae_lightning.runs.run_config import Section
from vae_lightning.terminal import plain_table, print_line

LOWEST, HIGHEST = 1e-8, 1e8
"""The KL weights between which a search stays."""
WIDEN = 1.2
"""Each step outside a bracket is the square of the one before; its two ends have made it the fourth power, about 2."""
Measure = Callable[[Sequence[tuple[str, ...]]], Sequence[int]]
"""Overrides of runs to their numbers of active units."""


class BisectSettings(Section):
    """The section ``hydra.sweeper`` of ``hydra/sweeper=bisect``."""

    units: PositiveInt
    precision: Annotated[float, Field(ge=2e-3, lt=1)]
    """The weights that are tried have four digits."""
    around: Annotated[float, Field(gt=1)]
    max_rounds: PositiveInt


@dataclass
class Search:
    """The search for one threshold: alive at ``low``, dead at ``high``, as far as these are known."""

    overrides: tuple[str, ...]
    forecast: float | None
    bracket: tuple[float, float]
    """Where the search begins."""
    low: float | None = None
    high: float | None = None
    contradiction: str = ""
    """Why it was given up: more units at a larger weight."""
    _step: float = WIDEN

    def wanted(self, precision: float) -> list[float]:
        """Return the KL weights to measure next; none when the bracket is narrow enough or the search is given up."""
        if self.contradiction:
            return []
        if self.low is None and self.high is None:
            return list(dict.fromkeys(rounded(weight) for weight in self.bracket))
        if self.low is None or self.high is None:
            weight = self.low * self._step if self.low else (self.high or HIGHEST) / self._step
            return [rounded(weight)] if LOWEST <= weight <= HIGHEST else []
        if self.high / self.low <= 1 + precision:
            return []
        return [rounded(math.sqrt(self.low * self.high))]

    def learn(self, kl_weight: float, alive: bool) -> None:
        """Update the bracket by whether enough units were active at a weight."""
        if alive:
            self.low = max(kl_weight, self.low or 0.0)
        else:
            self.high = min(kl_weight, self.high or math.inf)
        self._step = min(self._step**2, HIGHEST / LOWEST)
        if self.low and self.high and self.low > self.high:
            self.contradiction = f"more units were active at {self.low:g} than at {self.high:g}"

    @property
    def outcome(self) -> str:
        """Return why there is no threshold; nothing where there is one."""
        if self.contradiction or self.threshold:
            return self.contradiction
        return "alive at every weight that was tried" if self.low else "dead at every weight that was tried"

    @property
    def threshold(self) -> float | None:
        """The middle of the bracket on a log scale; None where none was found."""
        return math.sqrt(self.low * self.high) if self.low and self.high and not self.contradiction else None


def rounded(kl_weight: float) -> float:
    """Return a weight with four digits, so that the same search asks for the same runs."""
    return float(f"{kl_weight:.4g}")


def searched(searches: Sequence[Search], settings: BisectSettings, measure: Measure) -> None:
    """Finish all searches, a round of jobs at a time. Raises UserError where one has not ended after ``max_rounds``."""
    for _ in range(settings.max_rounds):
        requests = [(search, weight) for search in searches for weight in search.wanted(settings.precision)]
        if not requests:
            return
        counts = measure([(*search.overrides, f"kl_weight={weight:g}") for search, weight in requests])
        for (search, weight), n_active in zip(requests, counts, strict=True):
            search.learn(weight, n_active >= settings.units)
    if any(search.wanted(settings.precision) for search in searches):
        message = f"hydra.sweeper.max_rounds={settings.max_rounds}: not found within so many rounds; the runs stay"
        raise UserError(message, Code.NOT_FOUND, ["hydra.sweeper.max_rounds"])


def show(searches: Sequence[Search], settings: BisectSettings, console: Console) -> None:
    """Print the threshold that each search found, beside the forecast."""
    what = "one unit is" if settings.units == 1 else f"{settings.units} units are"
    heading = f"the largest KL weight at which at least {what} active, on images held out from training and test"
    print_line(console, f"{heading} (on training images where there are none)")
    table = plain_table()
    for column in ("KL weight", "alive at", "dead at", "forecast"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("search", overflow="fold")
    for search, own in _without_what_all_share(searches):
        values = (search.threshold, search.low, search.high, search.forecast)
        texts = ("–" if value is None else f"{value:.4g}" for value in values)
        table.add_row(*texts, Text(" ".join([*own, search.outcome])))
    console.print(table)
    for setting, found in _over_seeds(searches).items():
        mean, spread = statistics.geometric_mean(found), f"{min(found):.4g} to {max(found):.4g}"
        print_line(console, f"{setting}geometric mean over {len(found)} seeds: {mean:.4g} ({spread})")


def _without_what_all_share(searches: Sequence[Search]) -> list[tuple[Search, list[str]]]:
    """Return each search with those of its overrides that not all searches have."""
    common = set.intersection(*(set(search.overrides) for search in searches))
    return [(search, [word for word in search.overrides if word not in common]) for search in searches]


def _over_seeds(searches: Sequence[Search]) -> dict[str, list[float]]:
    """Return the thresholds of searches that differ in the seed alone, by what else not all searches share."""
    found: dict[str, list[float]] = {}
    for search, own in _without_what_all_share(searches):
        setting = "".join(f"{word} " for word in own if not word.startswith("seed="))
        if search.threshold:
            found.setdefault(setting, []).append(search.threshold)
    return {setting: thresholds for setting, thresholds in found.items() if len(thresholds) > 1}
