"""Charts as SVG in a page: they take its colours, and say in words what they show."""

import io
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib
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
from vae_lightning.report.series import Panel

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


def charts(ordered: Sequence[Panel]) -> Iterator[dict[str, Any]]:
    kinds: list[tuple[str, Draw, str, str]] = [
        ("units", draw_units, "active units", "test/active_units"),
        ("kl", draw_kl, "KL", "test/kl"),
        ("elbo", draw_elbo, "ELBO", "test/elbo"),
        ("rate_distortion", draw_rate_distortion, "distortion", "test/distortion"),
    ]
    for panel in ordered:
        if not weights_of(panel):
            continue
        for kind, draw, what, key in kinds:
            label = f"{panel.title}: {what} by KL weight. {_in_words(panel, key)}"
            caption = _forecast_caption(panel) if kind == "units" else ""
            yield {
                "kind": kind,
                "name": f"{what}, {panel.title}",
                "svg": svg(chart(draw, panel, INK), label),
                "caption": caption,
            }


def _in_words(panel: Panel, key: str) -> str:
    """Return the means over seeds as a sentence, for those who do not see the chart."""
    told = []
    for series in panel.series:
        means = [(point.kl_weight, point.values(key)) for point in series.points]
        values = ", ".join(f"{sum(found) / len(found):.4g} at {weight:g}" for weight, found in means if found)
        told.append(f"{series.name}: {values}")
    return "; ".join(told) + "."


def _forecast_caption(panel: Panel) -> str:
    if panel.before_forecasts:
        return "An earlier version made these runs, without a forecast."
    if not panel.critical_weights:
        return "There is no forecast for this likelihood."
    first = ", ".join(f"{weight:.3g}" for weight in panel.critical_weights[:4])
    return f"Forecast: the first units live below KL weight {first}, …"
