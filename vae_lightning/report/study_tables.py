"""Finished runs -> the tables of a study: a row for each run, and a row for each run and epoch of some curves."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from vae_lightning.files import write_atomically
from vae_lightning.runs.curves import read_curves
from vae_lightning.runs.identity import shown_settings
from vae_lightning.runs.results import (
    ACTIVE_DIRECTIONS,
    COLUMNS,
    CRITICAL_WEIGHTS,
    FORECAST_UNITS,
    KL_CEILING,
    KL_WEIGHT,
    RUN,
    SEED,
    Column,
    Results,
    View,
)
from vae_lightning.runs.status import FoundRun

Add = Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]
RESULTS, CURVES = "results.csv", "curves.csv"
DIGITS = "%.7g"
ONSET, PLAIN_LOSS, OWN_LOSS, KL_OVER_CEILING = "onset", "plain_loss", "own_loss", "kl_over_ceiling"
SHORTFALL = "off_forecast"
EPOCH = "epoch"


def _plain_loss(found: Results) -> float | None:
    """Return what a plain VAE minimises at the KL weight in force, on test images."""
    if found.distortion is None or found.kl is None:
        return None
    return found.distortion + found.kl_weight_at_the_end * found.kl


def _shortfall(found: Results) -> int | None:
    """Return by how many directions the forecast is off."""
    forecast, active = found.get(FORECAST_UNITS), found.get(ACTIVE_DIRECTIONS)
    return None if forecast is None or active is None else abs(forecast - active)


def _kl_over_ceiling(found: Results) -> float | None:
    """Return the KL as a share of what no optimum of the loss exceeds."""
    ceiling = found.get(KL_CEILING)
    return None if found.kl is None or not ceiling else found.kl / ceiling


DERIVED = (
    Column(ONSET, "onset", ".3g", derived=lambda found: found.critical_weights[0] if found.critical_weights else None),
    Column(PLAIN_LOSS, "distortion + w KL", ".2f", "nats", needs_density=True,
           derived=_plain_loss),
    Column(SHORTFALL, "off forecast", "d", type=int, derived=_shortfall),
    Column(KL_OVER_CEILING, "KL / ceiling", ".2f", derived=_kl_over_ceiling),
)  # fmt: skip
"""What studies compare beside what every run's results have."""
OF_CURVES = Column(OWN_LOSS, "own loss", ".2f", "nats", meaning="what the run minimises, mean of its last epoch")
LISTS = {
    "test/mutual_information": 2, "test/marginal_kl": 2, "forecast/active_units_on_new_data": 2,
    "test/kl_per_unit": 10, "test/mean_of_mean_per_unit": 2, "test/variance_of_mean_per_unit": 2,
    "samples/count_per_class": 10, "manifold/count_per_class": 10,
}  # fmt: skip
"""Lists of so many elements at most become a column for each: ``test/kl_per_unit/0``; longer ones are left out."""
N_CRITICAL = 12
"""Critical weights that are kept, the largest first."""
ALSO = ("kl_weight_at_the_end", "decoder_variance", "kinds/accuracy_on_test_images", "test/mutual_information_error")
"""Stored values that no other table shows, or not in results.csv."""


def columns() -> dict[str, Column]:
    """Return how each number of a study is called and written."""
    return {column.name: column for column in (*COLUMNS, *DERIVED, OF_CURVES)}


def table_of(runs: Sequence[FoundRun]) -> pd.DataFrame:
    """Return a row for each run: its parts by name, the other settings in which the runs differ, what they found."""
    chosen = [shown_settings(run.results.settings or {}) for run in runs]
    keys = dict.fromkeys([KL_WEIGHT, SEED, *(key for settings in chosen for key in settings)])
    several = [key for key in keys if len({str(settings.get(key)) for settings in chosen}) > 1]
    differing = [key for key in keys if key in several or key.endswith(".name")]
    rows = []
    for run, settings in sorted(zip(runs, chosen, strict=True), key=lambda pair: pair[0].name):
        told = {key: settings.get(key) for key in dict.fromkeys([KL_WEIGHT, SEED, *differing])}
        rows.append({RUN: run.name, **told, **_found(run.results), OWN_LOSS: _own_loss(run)})
    return pd.DataFrame(rows)


def _found(found: Results) -> dict[str, Any]:
    shown = (View.CSV, View.EVALUATION)
    wanted = [column for column in COLUMNS if any(view in column.views for view in shown) and not column.per_unit]
    scalar = [column for column in (*wanted, *DERIVED) if column.type in {float, int, str} and column.name != RUN]
    values = {column.name: column.value(found) for column in scalar} | {name: found.get(name) for name in ALSO}
    values |= {
        f"{CRITICAL_WEIGHTS}/{index}": w for index, w in enumerate(found.critical_weights or []) if index < N_CRITICAL
    }
    for name, most in LISTS.items():
        elements = found.get(name) or []
        values |= {f"{name}/{index}": value for index, value in enumerate(elements) if len(elements) <= most}
    return {name: value for name, value in values.items() if name != "verdict/sentence"}


def _own_loss(run: FoundRun) -> float | None:
    lines = [line for line in read_curves(run.directory) if line.get("train/loss") is not None]
    last = [line["train/loss"] for line in lines if line[EPOCH] == lines[-1][EPOCH]]
    return sum(last) / len(last) if last else None


def curves_of(runs: Sequence[FoundRun], names: Sequence[str]) -> pd.DataFrame:
    """Return what some curves were at the end of each epoch, or its mean where they have several values in it."""
    parts = []
    for run in sorted(runs, key=lambda found: found.name):
        logged = pd.DataFrame([{EPOCH: line[EPOCH], **_numbers(line, names)} for line in read_curves(run.directory)])
        parts.append(logged.groupby(EPOCH, as_index=False).mean().assign(**{RUN: run.name}))
    return pd.concat(parts)[[RUN, EPOCH, *names]]


def _numbers(line: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: line.get(name) for name in names}


def write_tables(folder: Path, runs: Sequence[FoundRun], curves: Sequence[str], add: Add | None = None) -> None:
    """Write the two tables of a study; ``add`` takes both and gives the first one with more columns."""
    table, kept = table_of(runs), curves_of(runs, curves) if curves else pd.DataFrame()
    tables = {RESULTS: add(table, kept) if add else table} | ({CURVES: kept} if curves else {})
    for name, each in tables.items():
        text = each.to_csv(index=False, lineterminator="\n", float_format=DIGITS)
        write_atomically(folder / name, text.encode())
