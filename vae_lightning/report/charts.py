"""Charts of many runs, as matplotlib figures: the phase diagram first. No torch: a report opens quickly."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from vae_lightning.report.series import Panel, Point

COLORS = ("#2f7ec7", "#c96f0a", "#1f9e77", "#c05aa5", "#8a6fd6", "#b8860b", "#d1495b", "#5f8f3f")
"""Told apart on white and on black, and by eyes that see red and green alike; markers tell them apart too."""
MARKERS = "os^DvP*"
FORECAST = "#888888"
WIDTH, HEIGHT = 5.2, 3.5
"""Inches of one panel."""


History = tuple[str, list[int], list[float]]
"""Name, steps, and KL weights in force at them."""
Draw = Callable[[Axes, Panel], None]


def chart(draw: Draw, panel: Panel, ink: str = "black") -> Figure:
    """Return a figure of one chart of a panel; ``ink`` is the colour of its axes and letters."""
    figure = Figure(figsize=(WIDTH, HEIGHT))
    draw(figure.add_subplot(), panel)
    return _finished(figure, ink)


def phase_diagram(panels: Sequence[Panel]) -> Figure | None:
    """Return active units and KL against the KL weight, a row for each panel; None where no panel has two weights."""
    drawn = [panel for panel in panels if len(weights_of(panel)) > 1]
    if not drawn:
        return None
    figure = Figure(figsize=(2 * WIDTH, HEIGHT * len(drawn)), layout="constrained")
    for (left, right), panel in zip(figure.subplots(len(drawn), 2, squeeze=False), drawn, strict=True):
        draw_units(left, panel)
        draw_kl(right, panel)
    return _finished(figure, "black")


def draw_units(axes: Axes, panel: Panel) -> None:
    """Draw active units against the KL weight, seeds as a band, the forecast as steps."""
    _over_weights(axes, panel, "active units")
    if panel.critical_weights is not None and weights_of(panel):
        dense = np.geomspace(*axes.get_xlim(), 600)
        weights = np.array(panel.critical_weights)
        if len(weights) < panel.latent_dim:  # so many are kept in the results; below the last there may be more
            dense = dense[dense >= weights.min()]
        units = [min(panel.latent_dim, int((weights > at).sum())) for at in dense]
        label = "forecast" if all(series.forecast_applies for series in panel.series) else "forecast of a plain VAE"
        axes.plot(dense, units, color=FORECAST, linewidth=2.2, alpha=0.9, label=label, zorder=1)
    _lines(axes, panel, lambda point: point.values("test/active_units"))
    axes.set_ylim(-0.4, panel.latent_dim + 0.6)
    axes.locator_params(axis="y", integer=True)


def draw_kl(axes: Axes, panel: Panel) -> None:
    """Draw the KL against the KL weight, and the KL that a linear model would have."""
    _over_weights(axes, panel, "KL [nats/image]")
    linear = {
        point.kl_weight: sum(found["forecast/kl_per_unit"])
        for series in panel.series
        if series.forecast_applies
        for point in series.over_weights
        for found in point.runs
        if point.kl_weight == found["kl_weight_at_the_end"] and found.get("forecast/kl_per_unit")
    }
    if linear:
        weights = sorted(linear)
        expected = [linear[weight] for weight in weights]
        axes.plot(weights, expected, color=FORECAST, linewidth=2.2, label="linear forecast", zorder=1)
    _lines(axes, panel, lambda point: point.values("test/kl"))
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(-0.1, 1.4 * axes.get_ylim()[1])


def draw_elbo(axes: Axes, panel: Panel) -> None:
    """Draw the ELBO against the KL weight, and above it the importance-weighted bound with K codes per image, L_K.

    L_K is at most log p(x) (Burda et al. 2015, eq. 8). Runs examined with another number of codes are another line.
    """
    _over_weights(axes, panel, "nats per image")
    _lines(axes, panel, lambda point: point.values("test/elbo"), suffix=", ELBO")
    for n_codes in codes_of_bounds(panel):
        _lines(axes, panel, partial(_bounds, n_codes), suffix=f", L{n_codes}", dashed=True)


def _bounds(n_codes: int, point: Point) -> list[float]:
    return point.bounds().get(n_codes, [])


def codes_of_bounds(panel: Panel) -> list[int]:
    """Return with how many codes per image log p(x) was bounded."""
    return sorted({n_codes for series in panel.series for point in series.points for n_codes in point.bounds()})


def draw_rate_distortion(axes: Axes, panel: Panel) -> None:
    """Draw the runs in the plane of rate and distortion, and where in it the ELBO is the same."""
    axes.set_title(panel.title, fontsize=11, parse_math=False)
    for index, series in enumerate(panel.series):
        rate_and_distortion = [rates for point in series.points if (rates := mean_rates(point))]
        if not rate_and_distortion:
            continue
        [line] = axes.plot(*zip(*rate_and_distortion, strict=True), label=series.name, markersize=5, linewidth=1.2)
        line.set(color=COLORS[index % len(COLORS)], marker=MARKERS[index % len(MARKERS)], alpha=0.9)
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(left=-0.1)
    axes.set_xlabel("rate: KL [nats/image]")
    axes.set_ylabel("distortion [nats/image]")
    _equal_elbos(axes)


def mean_rates(point: Point) -> tuple[float, float] | None:
    """Return rate and distortion, means over the seeds; None for an autoencoder, whose rate is not defined."""
    rates = point.values("test/kl")
    return (float(np.mean(rates)), float(np.mean(point.values("test/distortion")))) if rates else None


def _equal_elbos(axes: Axes) -> None:
    """Draw where the ELBO is the same."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    rates = np.concatenate([[0.0], np.geomspace(0.01, max(right, 1.0), 200)])
    for total in np.linspace(low, high + right, 12)[1:]:
        axes.plot(rates, total - rates, color=FORECAST, linewidth=0.6, alpha=0.45, zorder=0)
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)


def schedule_chart(histories: Sequence[History], ink: str = "black") -> Figure:
    """Draw KL weights in force over the training.

    Args:
        histories: name, steps, and weights in force divided by kl_weight, of one run for each schedule.
        ink: colour of the axes.
    """
    figure = Figure(figsize=(WIDTH, HEIGHT))
    axes = figure.add_subplot()
    for index, (name, steps, weights) in enumerate(histories):
        axes.plot(steps, weights, color=COLORS[index % len(COLORS)], label=name, linewidth=1.6)
    axes.set_xlabel("step")
    axes.set_ylabel("KL weight in force / kl_weight")
    axes.set_ylim(bottom=0)
    return _finished(figure, ink)


def _over_weights(axes: Axes, panel: Panel, ylabel: str) -> None:
    """Set up axes of which the horizontal one is the KL weight, on a log scale: a weight of 0 has no place on it."""
    axes.set_title(panel.title, fontsize=11, parse_math=False)
    axes.set_xlabel("KL weight")
    axes.set_ylabel(ylabel)
    if weights := weights_of(panel):
        axes.set_xscale("log")
        axes.set_xlim(0.7 * min(weights), 1.4 * max(weights))
        if max(weights) / min(weights) < 30:
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))


def weights_of(panel: Panel) -> set[float]:
    """Return the KL weights that a log scale has a place for."""
    return {point.kl_weight for series in panel.series for point in series.over_weights}


def _lines(
    axes: Axes, panel: Panel, values: Callable[[Point], list[float]], suffix: str = "", dashed: bool = False
) -> None:
    """Draw a line of means for each series, and a band from the least to the largest over the seeds."""
    for index, series in enumerate(panel.series):
        found = [(point.kl_weight, values(point)) for point in series.over_weights]
        points = [(weight, seeds) for weight, seeds in found if seeds]
        if not points:
            continue
        weights = [weight for weight, _ in points]
        color = COLORS[index % len(COLORS)]
        axes.plot(
            weights,
            [np.mean(seeds) for _, seeds in points],
            linestyle="--" if dashed else "-",
            color=color,
            marker=MARKERS[index % len(MARKERS)],
            markersize=4 if dashed else 5,
            fillstyle="none" if dashed else "full",
            linewidth=1.4,
            label=_label(series.name, [len(seeds) for _, seeds in points], len(panel.series)) + suffix,
            zorder=3,
        )
        least, most = ([pick(seeds) for _, seeds in points] for pick in (min, max))
        if least != most:
            axes.fill_between(weights, least, most, color=color, alpha=0.2, linewidth=0, zorder=2)
            axes.vlines(weights, least, most, color=color, alpha=0.5, linewidth=1, zorder=2)  # a band of one weight


def _label(name: str, n_seeds: Sequence[int], n_series: int) -> str:
    if max(n_seeds) == 1 or n_series > len(COLORS):
        return name
    least = "" if min(n_seeds) == max(n_seeds) else f"{min(n_seeds)} to "
    return f"{name} ({least}{max(n_seeds)} seeds)"


def _finished(figure: Figure, ink: str) -> Figure:
    """Give all axes their ink, a faint grid and a legend."""
    fixed = figure.get_layout_engine() is None
    if fixed:
        _make_room(figure, 0)
    for axes in figure.axes:
        axes.grid(color=FORECAST, alpha=0.25, linewidth=0.6)
        for part in (axes.xaxis, axes.yaxis):
            part.set_major_formatter("{x:g}")  # powers of ten by mathtext take most of the time
            part.set_minor_formatter(NullFormatter())
        axes.title.set_color(ink)
        for part in (axes.xaxis, axes.yaxis):
            part.label.set_color(ink)
        axes.tick_params(colors=ink, which="both", labelsize=10)
        for spine in axes.spines.values():
            spine.set_color(FORECAST)
        if labels := axes.get_legend_handles_labels()[1]:
            columns = 2 if max(map(len, labels)) < 28 else 1
            rows = math.ceil(len(labels) / columns)
            below = (0.5, -0.17)
            legend = axes.legend(
                fontsize=9.5,
                labelcolor=ink,
                framealpha=0,
                loc="upper center",
                bbox_to_anchor=below,
                ncols=columns,
            )
            for text in legend.get_texts():  # a name may have a dollar sign in it
                text.set_parse_math(False)
            if fixed:
                _make_room(figure, rows)
    return figure


def _make_room(figure: Figure, rows: int) -> None:
    """Set fixed margins, with so many rows of a legend below: to measure every letter takes as long as to draw it."""
    height = HEIGHT + 0.22 * rows
    figure.set_size_inches(WIDTH, height)
    figure.subplots_adjust(left=0.14, right=0.97, bottom=(0.6 + 0.22 * rows) / height, top=1 - 0.32 / height)


def save_options() -> dict[str, Any]:
    """Return how a chart is saved as SVG: no background, and text as text, which a browser can find and scale."""
    return {"format": "svg", "transparent": True, "metadata": dict.fromkeys(("Date", "Creator", "Format", "Type"))}
