"""Runs as a pandas frame: a row for each run. Charts, results.csv and tables are groups and views of it."""

import contextlib
import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from vae_lightning.report.differences import apart, what_differs
from vae_lightning.runs.identity import settings, unusual_choices
from vae_lightning.runs.results import (
    ACTIVE_DIRECTIONS,
    ACTIVE_UNITS,
    CHOICES,
    DISTORTION,
    ELBO,
    KL,
    KL_WEIGHT,
    LOG_PX,
    LOG_PX_SAMPLES,
    NONE,
    RUN,
    SEED,
    STUDY,
    Results,
    View,
    columns_of,
)
from vae_lightning.runs.status import FoundRun

SCHEDULE = "beta_schedule."
PLAIN_SCHEDULE = "constant"
NOT_OF_THE_DATA = {"data.batch_size", "data.validation_size"}
ABOUT = ["results", "panel", "series", "over_weights", KL_WEIGHT]
MEASURED = [ACTIVE_UNITS, ACTIVE_DIRECTIONS, ELBO, KL, DISTORTION, LOG_PX, LOG_PX_SAMPLES]


def known_of(run: FoundRun) -> Results:
    """Return what a run found; of one that is not finished, what its config says under the same names."""
    if run.results:
        return run.results
    config = run.config
    found = Results({RUN: run.name, **{key: config.get(key) for key in (KL_WEIGHT, "latent_dim", SEED)}})
    with contextlib.suppress(KeyError, TypeError):  # of another version
        found |= {"settings": settings(config), STUDY: config["study"]["name"], CHOICES: unusual_choices(config)}
    return found


def csv_text(runs: Sequence[FoundRun], with_state: bool) -> str:
    """Return a line for each run; of one that is not finished, what it is and how it stands."""
    known = [known_of(run) for run in runs]
    columns = columns_of(known, View.CSV)
    rows = [{column.name: column.value(found) for column in columns} for found in known]
    frame = pd.DataFrame(rows, columns=[column.name for column in columns], dtype=object)
    frame[CHOICES] = [" ".join(words) for words in what_differs(known)]
    if with_state:
        frame.insert(0, "state", [run.status.value for run in runs])
        frame.insert(1, "directory", [str(run.directory) for run in runs])
    text: str = frame.to_csv(index=False, lineterminator="\n")
    return text


def charted(results: Sequence[Results]) -> pd.DataFrame:
    """Return the runs that charts can show, a row for each, ordered by panel, series, KL weight and seed.

    A panel has runs of which the data's spectrum says the same: of one data set, one likelihood, one number of units. A
    series in it has runs that differ in the KL weight and the seed alone. What a run has not measured is not a number.
    """
    frame = pd.DataFrame([_row(found) for found in results if found.settings], columns=[*ABOUT, *MEASURED, SEED])
    if frame.empty:
        return frame
    frame[MEASURED] = frame[MEASURED].apply(pd.to_numeric)
    panels = frame.drop_duplicates("panel")
    titles = apart([*map(_title, panels["results"])], [*map(_of_the_data, panels["results"])])
    frame["panel"] = frame["panel"].map(dict(zip(panels["panel"], titles, strict=True)))
    return pd.concat([_with_named_series(panel) for _, panel in frame.groupby("panel", sort=False)], ignore_index=True)


def _row(found: Results) -> dict[str, Any]:
    values = {column.name: column.value(found) for column in columns_of([found], View.CSV)}
    return {
        **values,
        "results": found,
        "panel": json.dumps([_of_the_data(found), found.latent_dim], sort_keys=True),
        "series": json.dumps(_own(found), sort_keys=True),
        # A schedule with feedback ends at a weight of its own, and a weight of 0 has no place on a log scale.
        "over_weights": found.kl_weight > 0 and not found.schedule_has_feedback,
    }


def _of_the_data(found: Results) -> dict[str, Any]:
    """Return the settings that a forecast is of; how many images are held out, or in a batch, is none of them."""
    named = (found.settings or {}).items()
    return {
        key: value for key, value in named if key.startswith(("data.", "likelihood.")) and key not in NOT_OF_THE_DATA
    }


def _own(found: Results) -> dict[str, Any]:
    """Return the settings that make a series."""
    return {key: value for key, value in (found.settings or {}).items() if key not in {KL_WEIGHT, SEED}}


def _title(found: Results) -> str:
    chosen = found.settings or {}
    binarize = chosen["data.binarize"]
    drawn = "" if binarize == "none" else f" ({binarize} binarisation)"
    # Of grey pixels a Bernoulli's log-likelihood is a cross-entropy: its "ELBO" does not compare with others'.
    cross_entropy = "" if found.bound_is_a_likelihood else " on grey pixels"
    return f"{chosen['data.name']}{drawn}, {chosen['likelihood.name']}{cross_entropy}, latent {found.latent_dim}"


def _with_named_series(panel: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of a panel with names for their series, in order: the constant schedule first."""
    firsts = panel.drop_duplicates("series")
    names = dict(zip(firsts["series"], _series_names(list(firsts["results"])), strict=True))
    ranks = {key: rank for rank, key in enumerate(sorted(names, key=lambda key: names[key] != PLAIN_SCHEDULE))}
    ordered = panel.assign(rank=panel["series"].map(ranks), series=panel["series"].map(names))
    return ordered.sort_values(["rank", KL_WEIGHT, SEED], kind="stable")


def _series_names(examples: Sequence[Results]) -> list[str]:
    """Return the beta schedule of each series, and what else tells it from the others."""
    schedules = [str((found.settings or {})[f"{SCHEDULE}name"]) for found in examples]
    told = what_differs([_without_schedule(found) for found in examples])
    shared = set.intersection(*(set(words) for words in told))
    names = [
        " ".join(dict.fromkeys([schedule, *(word for word in words if word not in shared)]))
        for schedule, words in zip(schedules, told, strict=True)
    ]
    return apart(names, [_own(found) for found in examples])


def _without_schedule(found: Results) -> Results:
    chosen = found.settings or {}
    said_elsewhere = {chosen[f"{SCHEDULE}name"], chosen["likelihood.name"]}
    return Results(
        choices=[choice for choice in found.get(CHOICES) or () if choice not in said_elsewhere],
        settings={key: value for key, value in _own(found).items() if not key.startswith(SCHEDULE)},
    )


def bounds_by_codes(runs: pd.DataFrame) -> dict[int, pd.DataFrame]:
    """Return the runs by the number of codes of their bound on log p(x): those of different ones do not compare."""
    bounded = runs.dropna(subset=[LOG_PX])
    return {int(n_codes): group for n_codes, group in bounded.groupby(LOG_PX_SAMPLES) if n_codes}


def critical_weights(panel: pd.DataFrame) -> list[float] | None:
    """Return the KL weights below which the units can live, the largest first; None where there is no forecast.

    With images held out, each seed forecasts from its own part; the first stands for all.
    """
    return next((found.critical_weights for found in panel["results"] if found.critical_weights), None)


def spread(values: pd.Series, style: str) -> str:
    """Return the mean as text, with the least and the largest where they differ; a dash for none."""
    values = values.dropna()
    if values.empty:
        return NONE
    mean, least, most = (format(value, style) for value in (values.mean(), values.min(), values.max()))
    return mean if least == most else f"{mean} ({least} to {most})"


def spread_of_bounds(runs: pd.DataFrame, style: str) -> list[str]:
    """Return the bounds on log p(x) as text, each by its number of codes."""
    return [f"L{n_codes} {spread(group[LOG_PX], style)}" for n_codes, group in bounds_by_codes(runs).items()]
