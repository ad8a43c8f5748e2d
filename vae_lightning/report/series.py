"""Many runs in order: panels of one forecast, in them series of one way to train, in these the seeds at a weight."""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from vae_lightning.report.tables import forecast_applies, has_density, what_differs
from vae_lightning.runs.identity import FEEDBACK

Results = dict[str, Any]
SCHEDULE = "beta_schedule."
NOT_A_SERIES = ("kl_weight", "seed")
NOT_OF_THE_DATA = ("data.batch_size", "data.validation_size")
PLAIN_SCHEDULE = "constant"
OF_A_DENSITY = ("test/elbo", "test/kl", "test/log_px")


class Point(NamedTuple):
    """The runs of one series at one KL weight, which differ in their seeds."""

    kl_weight: float
    runs: list[Results]

    def values(self, key: str) -> list[float]:
        """Return what each run found, where it found something; an autoencoder has no KL and no bound."""
        runs = [run for run in self.runs if key not in OF_A_DENSITY or has_density(run)]
        return [float(run[key]) for run in runs if isinstance(run.get(key), int | float)]

    def bounds(self) -> dict[int, list[float]]:
        """Return the bounds on log p(x), by the number of codes per image: those of different ones do not compare."""
        found: dict[int, list[float]] = defaultdict(list)
        for run in self.runs:
            if run.get("test/log_px") is not None and (n_codes := run.get("test/log_px_samples")):
                found[n_codes].append(run["test/log_px"])
        return found


def spread(values: Sequence[float], style: str) -> str:
    """Return the mean as text, with the least and the largest where they differ; a dash for none."""
    if not values:
        return "–"
    mean, least, most = (format(value, style) for value in (sum(values) / len(values), min(values), max(values)))
    return mean if least == most else f"{mean} ({least} to {most})"


class Series(NamedTuple):
    """Runs that differ in the KL weight and the seed alone."""

    name: str
    points: list[Point]
    """By KL weight, ascending."""

    @property
    def runs(self) -> list[Results]:
        return [run for point in self.points for run in point.runs]

    @property
    def forecast_applies(self) -> bool:
        """Whether it is the kind of model that forecasts are of."""
        return forecast_applies(self.runs[0])

    @property
    def over_weights(self) -> list[Point]:
        """The points that have a place on a log scale of KL weights: those of a weight above 0 which it is to the end.

        A schedule with feedback ends at a weight of its own.
        """
        feedback = self.runs[0]["settings"][f"{SCHEDULE}name"] in FEEDBACK
        return [] if feedback else [point for point in self.points if point.kl_weight > 0]


class Panel(NamedTuple):
    """Runs of which the data's spectrum says the same: of one data set, one likelihood, one number of units."""

    title: str
    latent_dim: int
    critical_weights: list[float] | None
    """Below which the units can live, the largest first; None where there is no forecast."""
    before_forecasts: bool
    """Whether an earlier version, which had no forecasts, made the runs."""
    series: list[Series]


def panels(results: Sequence[Results]) -> list[Panel]:
    """Return finished runs as panels of series of points."""
    by_panel: dict[str, list[Results]] = defaultdict(list)
    for found in results:
        if "settings" in found:
            by_panel[json.dumps([_about_the_data(found), found["latent_dim"]], sort_keys=True)].append(found)
    groups = list(by_panel.values())
    titles = apart([_title(runs) for runs in groups], [_about_the_data(runs[0]) for runs in groups])
    return [_panel(title, runs) for title, runs in zip(titles, groups, strict=True)]


def _about_the_data(found: Results) -> dict[str, Any]:
    """Return the settings that a forecast is of; how many images are held out, or in a batch, is none of them."""
    return {
        key: value
        for key, value in found["settings"].items()
        if key.startswith(("data.", "likelihood.")) and key not in NOT_OF_THE_DATA
    }


def _title(runs: Sequence[Results]) -> str:
    settings = runs[0]["settings"]
    grey = settings["data.binarize"] == "none"
    drawn = "" if grey else f" ({settings['data.binarize']} binarisation)"
    # Of grey pixels a Bernoulli's log-likelihood is a cross-entropy: its "ELBO" does not compare with others'.
    cross_entropy = " on grey pixels" * (grey and settings["likelihood.name"] == "bernoulli")
    return (
        f"{settings['data.name']}{drawn}, {settings['likelihood.name']}{cross_entropy}, latent {runs[0]['latent_dim']}"
    )


def _panel(title: str, runs: Sequence[Results]) -> Panel:
    by_series: dict[str, list[Results]] = defaultdict(list)
    for found in runs:
        by_series[json.dumps(_own(found), sort_keys=True)].append(found)
    groups = list(by_series.values())
    series = [Series(name, _points(group)) for name, group in zip(_names(groups), groups, strict=True)]
    # With images held out, each seed forecasts from its own part; the first stands for all.
    forecast = next((found for found in runs if found.get("forecast/critical_weights")), runs[0])
    return Panel(
        title,
        runs[0]["latent_dim"],
        forecast.get("forecast/critical_weights"),
        all("forecast/critical_weights" not in found for found in runs),
        sorted(series, key=lambda one: one.name != PLAIN_SCHEDULE),
    )


def _own(found: Results) -> dict[str, Any]:
    return {key: value for key, value in found["settings"].items() if key not in NOT_A_SERIES}


def _names(groups: Sequence[Sequence[Results]]) -> list[str]:
    """Return the beta schedule of each series, and what else tells it from the others."""
    examples = [group[0] for group in groups]
    schedules = [run["settings"]["beta_schedule.name"] for run in examples]
    without_schedules = [
        {
            "choices": [choice for choice in run.get("choices", []) if choice not in {schedule, _likelihood(run)}],
            "settings": {key: value for key, value in _own(run).items() if not key.startswith(SCHEDULE)},
        }
        for run, schedule in zip(examples, schedules, strict=True)
    ]
    told = what_differs(without_schedules)
    shared = set.intersection(*(set(words) for words in told))
    names = [
        " ".join(dict.fromkeys([schedule, *(word for word in words if word not in shared)]))
        for schedule, words in zip(schedules, told, strict=True)
    ]
    return apart(names, [_own(run) for run in examples])


def apart(names: Sequence[str], settings: Sequence[dict[str, Any]]) -> list[str]:
    """Return the names; equal ones with the settings in which those who have them differ."""
    found = []
    for name, own in zip(names, settings, strict=True):
        alike = [other for other_name, other in zip(names, settings, strict=True) if other_name == name]
        keys = [key for key in own if len({json.dumps(other.get(key)) for other in alike}) > 1]
        told = [f"{key}={own[key]}" for key in keys if not key.endswith("_target_")]
        found.append(", ".join([name, *(told or [f"{key}={own[key]}" for key in keys])]))
    return found


def _likelihood(run: Results) -> str:
    return str(run["settings"]["likelihood.name"])


def _points(runs: Sequence[Results]) -> list[Point]:
    by_weight: dict[float, list[Results]] = defaultdict(list)
    for found in sorted(runs, key=lambda run: (run["kl_weight"], run["seed"])):
        by_weight[float(found["kl_weight"])].append(found)
    return [Point(weight, found) for weight, found in by_weight.items()]
