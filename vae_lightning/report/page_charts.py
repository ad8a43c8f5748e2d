"""Charts as SVG in a page: they take its colours, and say in words what they show."""

import io
from collections.abc import Callable, Iterator, Sequence
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
    mean_rates,
    save_options,
    weights_of,
)
from vae_lightning.report.series import Panel, Point, spread

Tell = Callable[[Point], str]
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
    """Return the charts of each panel that say something, by kind."""
    for panel in ordered:
        over_weights = len(weights_of(panel)) > 1  # at one weight the series would lie on each other
        kinds: list[tuple[str, Draw, str, Tell, bool]] = [
            ("units", draw_units, "active units", _told("test/active_units"), over_weights),
            ("kl", draw_kl, "KL", _told("test/kl"), over_weights),
            ("elbo", draw_elbo, "ELBO, and bounds on log p(x)", _bounds_told, over_weights),
            ("rate_distortion", draw_rate_distortion, "rate and distortion", _rates_told, _has_rates(panel)),
        ]
        for kind, draw, what, tell, drawn in kinds:
            if drawn:
                label = f"{panel.title}: {what} by KL weight. {_in_words(panel, tell)}"
                caption = _forecast_caption(panel) if kind == "units" else ""
                name = f"{what}, {panel.title}"
                yield {"kind": kind, "name": name, "svg": svg(chart(draw, panel, INK), label), "caption": caption}


def _has_rates(panel: Panel) -> bool:
    return any(mean_rates(point) for series in panel.series for point in series.points)


def _told(key: str) -> Tell:
    return lambda point: spread(point.values(key), ".4g")


def _bounds_told(point: Point) -> str:
    bounds = [f"L{n_codes} {spread(values, '.4g')}" for n_codes, values in sorted(point.bounds().items())]
    return ", ".join([f"ELBO {spread(point.values('test/elbo'), '.4g')}", *bounds])


def _rates_told(point: Point) -> str:
    return f"rate {spread(point.values('test/kl'), '.4g')}, distortion {spread(point.values('test/distortion'), '.4g')}"


def _in_words(panel: Panel, tell: Tell) -> str:
    """Return what a chart shows as a sentence, for those who do not see it."""
    return (
        "; ".join(
            f"{series.name}: {', '.join(f'at {point.kl_weight:g} {tell(point)}' for point in series.points)}"
            for series in panel.series
        )
        + "."
    )


def _forecast_caption(panel: Panel) -> str:
    if panel.before_forecasts:
        return "An earlier version made these runs, without a forecast."
    if not panel.critical_weights:
        return "There is no forecast for these runs."
    first = ", ".join(f"{weight:.3g}" for weight in panel.critical_weights[:4])
    return f"Forecast: the first units live below KL weight {first}, …"
