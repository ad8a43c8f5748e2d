"""What a study's page may say in numbers: means, differences and tables, all computed from its ``results.csv``.

A claim that the runs do not bear is an error when the page is written, not a sentence on it.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

from vae_lightning.errors import Code, UserError
from vae_lightning.report.seeds import OverSeeds, difference, over_seeds
from vae_lightning.report.study import Study
from vae_lightning.report.study_tables import columns
from vae_lightning.runs.results import ELBO, NONE, RUN, SEED

STYLE = ".3g"
LABELS = {"model.name": "model", "likelihood.name": "likelihood", "beta_schedule.name": "schedule"}


class Words:
    """The functions that a ``page.md`` may call; ``runs`` are conditions as :func:`vae_lightning.report.study.chosen`
    takes them."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def functions(self) -> dict[str, object]:
        """Return them by name."""
        names = ("mean", "least", "most", "above", "below", "alike", "equal", "table", "verdicts", "count", "where")
        return {name: getattr(self, name) for name in names}

    def mean(self, column: str, runs: str = "", style: str | None = None) -> str:
        """Return the mean over seeds and its standard error."""
        return self._mean(column, runs).text(style or _of_means(_style(column), self._values(column, runs)))

    def least(self, column: str, runs: str = "", style: str | None = None) -> str:
        """Return the least value of any run."""
        return format(self._values(column, runs).min(), style or _style(column))

    def most(self, column: str, runs: str = "", style: str | None = None) -> str:
        """Return the largest value of any run."""
        return format(self._values(column, runs).max(), style or _style(column))

    def above(self, column: str, runs: str, others: str, style: str | None = None) -> str:
        """Return how far the mean of some runs is above others'. Raises UserError where it is not, beyond 95 %."""
        gap = self._gap(column, runs, others)
        if not gap.value > gap.reach:
            raise _unborne(column, runs, "above", others, gap)
        return gap.text(style or _style(column))

    def below(self, column: str, runs: str, others: str, style: str | None = None) -> str:
        """Return how far the mean of some runs is below others'. Raises UserError where it is not, beyond 95 %."""
        return self.above(column, others, runs, style)

    def alike(self, column: str, runs: str, others: str, style: str | None = None) -> str:
        """Return the difference of two means. Raises UserError where it is more than seeds scatter, beyond 95 %."""
        gap = self._gap(column, runs, others)
        if abs(gap.value) > gap.reach:
            raise _unborne(column, runs, "like", others, gap)
        return gap.text(style or _style(column))

    def equal(self, column: str, value: float | int, runs: str = "", style: str | None = None) -> str:
        """Return a mean that should be ``value``. Raises UserError where its 95 % interval does not hold it."""
        gap = difference(self._mean(column, runs), OverSeeds(float(value), 0.0, math.inf))
        if abs(gap.value) > gap.reach:
            raise _unborne(column, runs, "equal to", f"{value:g}", gap)
        return self.mean(column, runs, style)

    def count(self, runs: str = "") -> int:
        """Return how many runs there are."""
        return len(self.study.runs(runs))

    def where(self, column: str, runs: str = "") -> str:
        """Return the one value that a column has in some runs. Raises UserError where there are several."""
        values = self.study.runs(runs)[column].unique()
        if len(values) != 1:
            raise UserError(f"{column} of {runs}: has {len(values)} values", Code.INVALID, [column])
        value = values[0]
        return format(value, _style(column)) if isinstance(value, int | float) else str(value)

    def verdicts(self, runs: str = "") -> str:
        """Return how many runs have which verdict."""
        return _counted(self.study.runs(runs)["verdict"])

    def table(self, show: str, by: str, runs: str = "", labels: Mapping[str, str] | None = None) -> str:
        """Return a table of means: a row for each combination of values of ``by``, a column for each of ``show``."""
        keys, shown = by.split(), show.split()
        frame = self.study.runs(runs)
        rows = []
        for values, group in frame.groupby(keys, dropna=False):
            check_one_setting(group)
            cells = [_cell(group[name], name) for name in shown]
            rows.append([*(_key_text(value) for value in values), *cells])
        told = LABELS | dict(labels or {})
        return markdown([told.get(name) or _label(name) for name in (*keys, *shown)], rows)

    def _values(self, column: str, runs: str) -> pd.Series:
        frame = self.study.runs(runs)
        if column not in frame:
            raise UserError(f"{column}: no column of {self.study.folder}", Code.UNKNOWN_KEY, [column])
        return frame[column]

    def _mean(self, column: str, runs: str) -> OverSeeds:
        values = self._values(column, runs)
        check_one_setting(self.study.runs(runs))
        return over_seeds(values)

    def _gap(self, column: str, runs: str, others: str) -> OverSeeds:
        return difference(self._mean(column, runs), self._mean(column, others))


def check_one_setting(runs: pd.DataFrame) -> None:
    """Raise UserError where runs differ in more than the seed: a mean over them would mix two settings."""
    again = runs[SEED].duplicated()
    if again.any():
        settings = list(runs.columns)[: list(runs.columns).index(ELBO)]
        differing = [key for key in settings if key not in (RUN, SEED) and runs[key].astype(str).nunique() > 1]
        reason = (
            f"{len(runs)} runs have a seed in common and differ in {', '.join(differing)}: narrow the conditions, or "
        )
        raise UserError(
            f"{reason}remove runs of an earlier recipe, as {runs[RUN][again].iloc[0]}", Code.INVALID, differing
        )


def _unborne(column: str, runs: str, how: str, others: str, gap: OverSeeds) -> UserError:
    found = f"the difference is {gap.text('.4g')}, its 95 % interval reaches {gap.reach:.4g} to each side"
    return UserError(f"{column} of {runs} is not {how} that of {others}: {found}", Code.NOT_SAME, [column])


def _style(column: str) -> str:
    found = columns().get(column)
    return (found.format if found else "") or STYLE


def _label(name: str) -> str:
    found = columns().get(name)
    if found is None:
        return name
    return f"{found.label} [{found.unit}]" if found.unit else found.label


def _cell(values: pd.Series, name: str) -> str:
    if not pd.api.types.is_numeric_dtype(values):
        return _counted(values)
    if values.isna().all():
        return NONE
    style = _style(name)
    return over_seeds(values).text(_of_means(style, values))


def _of_means(style: str, values: pd.Series) -> str:
    """Return the style of a mean: of counts with one place, unless all are the same."""
    return style if style != "d" else ".0f" if values.nunique() == 1 else ".1f"


def _counted(values: pd.Series) -> str:
    return ", ".join(f"{count} {word}" for word, count in Counter(values.fillna("no verdict")).most_common())


def _key_text(value: object) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:g}"
    return str(value)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rows))
