"""A study as its folder has it: what it asks, and its tables, from which whatever its page says is computed."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from vae_lightning.conf_folder import config_folder
from vae_lightning.errors import Code, UserError
from vae_lightning.report.study_tables import CURVES, RESULTS
from vae_lightning.runs.results import ELBO, RUN


@dataclass(frozen=True)
class Study:
    """What a study asked and what its runs found."""

    name: str
    question: str
    folder: Path
    frame: pd.DataFrame
    """A row for each run; empty where none was made so far."""
    curves: pd.DataFrame
    """A row for each run and epoch, with the run's settings; empty where the study keeps no curves."""

    @classmethod
    def read(cls, folder: Path) -> "Study":
        """Read a study's tables and its recipe.

        Raises:
            UserError: ``NOT_FOUND`` where there is no recipe of its name.
        """
        recipe = config_folder() / "experiment" / f"{folder.name}.yaml"
        if not recipe.exists():
            raise UserError(f"{folder}: there is no recipe {recipe}", Code.NOT_FOUND, [recipe])
        question = yaml.safe_load(recipe.read_text(encoding="utf-8"))["study"]["question"]
        frame, curves = (_read(folder / name) for name in (RESULTS, CURVES))
        if not curves.empty:
            settings = frame.columns[: list(frame.columns).index(ELBO)]
            curves = curves.merge(frame[list(settings)], on=RUN)
        return cls(folder.name, question, folder, frame, curves)

    def runs(self, conditions: str = "") -> pd.DataFrame:
        """Return the runs for which all conditions hold: see :func:`chosen`."""
        return chosen(self.frame, conditions)

    def points(
        self, column: str, x: str, by: str, runs: pd.DataFrame | None = None
    ) -> dict[str, dict[float, list[float]]]:
        """Return the values of all seeds by ``x``, for each value of ``by``, in the order of the table."""
        frame = (self.frame if runs is None else runs).dropna(subset=[column])
        return {
            str(name): {float(at): list(group[column]) for at, group in series.groupby(x)}
            for name, series in frame.groupby(by, sort=False, dropna=False)
        }


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path) if path.exists() else pd.DataFrame()


def chosen(frame: pd.DataFrame, conditions: str) -> pd.DataFrame:
    """Return the rows for which all conditions hold: ``key=value``, ``key=one|other``, ``key=`` (none), by spaces.

    Raises:
        UserError: ``UNKNOWN_KEY`` for a key that is no column, ``NOT_FOUND`` where no row is left.
    """
    for condition in conditions.split():
        key, _, values = condition.partition("=")
        if key not in frame:
            raise UserError(f"{condition}: no column {key}; there are {', '.join(frame)}", Code.UNKNOWN_KEY, [key])
        column = frame[key]
        wanted = values.split("|")
        if pd.api.types.is_numeric_dtype(column) and values:
            frame = frame[column.isin([float(value) for value in wanted])]
        else:
            frame = frame[column.astype("string").fillna("").isin(wanted)]
    if frame.empty:
        raise UserError(f"{conditions}: no run of the study is so", Code.NOT_FOUND, [conditions])
    return frame
