"""Charts as SVG in a page: they take its colours, and say in words what they show."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib
import pandas as pd
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from vae_lightning.report.charts import (
    Draw,
    chart,
    draw_elbo,
    draw_kl,
    draw_rate_distortion,
    draw_units,
    save_options,
    weights_of,
)
from vae_lightning.report.frame import critical_weights, spread, spread_of_bounds
from vae_lightning.runs.results import ACTIVE_DIRECTIONS, ACTIVE_UNITS, DISTORTION, ELBO, KL, KL_WEIGHT, NONE

Say = Callable[[pd.DataFrame], str]
"""Says in words what a chart shows of the runs of one series at one KL weight."""
INK = "#010203"
"""Drawn with it, a line or a letter takes the colour of the page's text, be it light or dark."""


def svg(figure: Figure, label: str) -> Markup:
    """Return a figure as SVG that scales with the page and takes the colour of its text; ``label`` says what it
    shows to those who do not see it."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": label}):
        figure.savefig(text, **save_options())
    drawn = text.getvalue()
    drawn = drawn[drawn.index("<svg") :].replace(INK, "currentColor")
    head, _, rest = drawn.partition(">")
    kept = " ".join(part for part in head.split() if not part.startswith(("width=", "height=")))
    return Markup(f'{kept} role="img" aria-label="{escape(label)}">{rest}')  # noqa: S704 (ours, and the label is escaped)


def charts(runs: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Return the charts of each panel that say something, by kind."""
    for title, panel in runs.groupby("panel", sort=False):
        over_weights = len(weights_of(panel)) > 1  # at one weight the series would lie on each other
        kinds: list[tuple[str, Draw, str, Say, bool]] = [
            ("units", draw_units, "active units and directions", _active_in_words, over_weights),
            ("kl", draw_kl, "KL", _kl_in_words, over_weights),
            ("elbo", draw_elbo, "ELBO, and bounds on log p(x)", _bounds_in_words, over_weights),
            ("rate_distortion", draw_rate_distortion, "rate and distortion", _rates_in_words, panel[KL].notna().any()),
        ]
        for kind, draw, what, say, drawn in kinds:
            if drawn:
                label = f"{title}: {what} by KL weight. {_in_words(panel, say)}"
                caption = _forecast_caption(panel) if kind == "units" else ""
                yield {
                    "kind": kind,
                    "name": f"{what}, {title}",
                    "svg": svg(chart(draw, panel, INK), label),
                    "caption": caption,
                }


def _active_in_words(runs: pd.DataFrame) -> str:
    units, directions = (spread(runs[key], ".4g") for key in (ACTIVE_UNITS, ACTIVE_DIRECTIONS))
    return f"units {units}" + ("" if directions == NONE else f", directions {directions}")


def _kl_in_words(runs: pd.DataFrame) -> str:
    return spread(runs[KL], ".4g")


def _bounds_in_words(runs: pd.DataFrame) -> str:
    return ", ".join([f"ELBO {spread(runs[ELBO], '.4g')}", *spread_of_bounds(runs, ".4g")])


def _rates_in_words(runs: pd.DataFrame) -> str:
    return f"rate {spread(runs[KL], '.4g')}, distortion {spread(runs[DISTORTION], '.4g')}"


def _in_words(panel: pd.DataFrame, say: Say) -> str:
    """Return what a chart shows as a sentence, for those who do not see it."""
    told = [
        f"{name}: {', '.join(f'at {weight:g} {say(runs)}' for weight, runs in series.groupby(KL_WEIGHT))}"
        for name, series in panel.groupby("series", sort=False)
    ]
    return "; ".join(told) + "."


def _forecast_caption(panel: pd.DataFrame) -> str:
    if not any(found.has_forecast for found in panel["results"]):
        return "An earlier version made these runs, without a forecast."
    critical = critical_weights(panel)
    if not critical:
        return "There is no forecast for these runs."
    weights = ", ".join(f"{weight:.3g}" for weight in critical[:4])
    return f"Forecast: the first directions live below KL weight {weights}, …"
