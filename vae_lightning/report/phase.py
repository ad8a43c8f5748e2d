"""Measured against forecast: the units that runs kept at their KL weights, beside what the data's spectrum lets
live."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from vae_lightning.drawings import Measured, forecast_curves

Results = dict[str, Any]


def measured_against_forecast(results: Sequence[Results]) -> Figure | None:
    """Return a panel for each forecast (of data and likelihood) with the runs it is of; None with fewer than two
    weights.

    The runs of one network are one series, whatever their length and seed.
    """
    forecasts: dict[tuple[Any, ...], list[Results]] = defaultdict(list)
    for found in results:
        weights = found.get("forecast/critical_weights")
        if weights and "settings" in found:
            forecasts[(tuple(weights), found["latent_dim"])].append(found)
    panels = []
    for (weights, latent_dim), runs in forecasts.items():
        if len({found["kl_weight_at_the_end"] for found in runs} - {0}) > 1:
            series: dict[str, list[Results]] = defaultdict(list)
            for found in runs:
                series[found["settings"]["model.name"]].append(found)
            panels.append(
                (
                    _title(runs[0]),
                    weights,
                    latent_dim,
                    [
                        Measured(
                            name,
                            [found["kl_weight_at_the_end"] for found in of_name],
                            [found["test/active_units"] for found in of_name],
                        )
                        for name, of_name in series.items()
                    ],
                )
            )
    return forecast_curves(panels) if panels else None


def _title(found: Results) -> str:
    settings = found["settings"]
    binarize = settings["data.binarize"]
    drawn = "" if binarize == "none" else f", {binarize} binarisation"
    return f"{settings['data.name']}{drawn}, {settings['likelihood.name']}"
