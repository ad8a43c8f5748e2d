"""Many runs in order: panels of one forecast, in them series of one way to train, in these the seeds at a weight."""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from vae_lightning.report.tables import what_differs

Results = dict[str, Any]
SCHEDULE = "beta_schedule."
NOT_A_SERIES = ("kl_weight", "seed")
PLAIN_SCHEDULE = "constant"


class Point(NamedTuple):
    """The runs of one series at one KL weight, which differ in their seeds."""

    kl_weight: float
    runs: list[Results]

    def values(self, key: str) -> list[float]:
        """Return what each run found, where it found something."""
        return [run[key] for run in self.runs if isinstance(run.get(key), int | float)]


class Series(NamedTuple):
    """Runs that differ in the KL weight and the seed alone."""

    name: str
    points: list[Point]
    """By KL weight, ascending."""

    @property
    def runs(self) -> list[Results]:
        return [run for point in self.points for run in point.runs]


class Panel(NamedTuple):
    """Runs of which the data's spectrum says the same: of one data set, one likelihood, one number of units."""

    title: str
    latent_dim: int
    critical_weights: list[float] | None
    """Below which the units can live, the largest first; None where there is no forecast."""
    series: list[Series]


def panels(results: Sequence[Results]) -> list[Panel]:
    """Return finished runs as panels of series of points."""
    by_panel: dict[str, list[Results]] = defaultdict(list)
    for found in results:
        if "settings" in found:
            by_panel[_panel_key(found)].append(found)
    return [_panel(runs) for runs in by_panel.values()]


def _panel_key(found: Results) -> str:
    settings = found["settings"]
    about = {key: value for key, value in settings.items() if key.startswith(("data.", "likelihood."))}
    return json.dumps([about, found["latent_dim"], found.get("forecast/critical_weights")], sort_keys=True)


def _panel(runs: Sequence[Results]) -> Panel:
    by_series: dict[str, list[Results]] = defaultdict(list)
    for found in runs:
        own = {key: value for key, value in found["settings"].items() if key not in NOT_A_SERIES}
        by_series[json.dumps(own, sort_keys=True)].append(found)
    groups = list(by_series.values())
    names = _names([group[0] for group in groups])
    series = [Series(name, _points(group)) for name, group in zip(names, groups, strict=True)]
    settings = runs[0]["settings"]
    drawn = "" if settings["data.binarize"] == "none" else f" ({settings['data.binarize']} binarisation)"
    title = f"{settings['data.name']}{drawn}, {settings['likelihood.name']}, latent {runs[0]['latent_dim']}"
    critical = runs[0].get("forecast/critical_weights")
    return Panel(title, runs[0]["latent_dim"], critical, sorted(series, key=lambda one: one.name != PLAIN_SCHEDULE))


def _names(examples: Sequence[Results]) -> list[str]:
    """Return what tells the series from one another; where nothing does, the beta schedule."""
    schedules = [run["settings"]["beta_schedule.name"] for run in examples]
    others = [
        {
            "choices": [
                choice for choice in run.get("choices", []) if choice != schedule and choice != _likelihood(run)
            ],
            "settings": {
                key: value
                for key, value in run["settings"].items()
                if key not in NOT_A_SERIES and not (key.startswith(SCHEDULE) and len(set(schedules)) > 1)
            },
        }
        for run, schedule in zip(examples, schedules, strict=True)
    ]
    told = what_differs(others)
    shared = set.intersection(*(set(words) for words in told)) if told else set()
    names = [
        " ".join(dict.fromkeys([schedule, *(word for word in words if word not in shared)]))
        for schedule, words in zip(schedules, told, strict=True)
    ]
    if len(set(names)) == len(names):
        return names
    full = what_differs(list(examples))
    return [" ".join(dict.fromkeys([name, *words])) for name, words in zip(names, full, strict=True)]


def _likelihood(run: Results) -> str:
    return str(run["settings"]["likelihood.name"])


def _points(runs: Sequence[Results]) -> list[Point]:
    by_weight: dict[float, list[Results]] = defaultdict(list)
    for found in sorted(runs, key=lambda run: (run["kl_weight"], run["seed"])):
        by_weight[float(found["kl_weight"])].append(found)
    return [Point(weight, found) for weight, found in by_weight.items()]
