"""Charts of many runs, as matplotlib figures: the phase diagram first. No torch: a report opens quickly."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vae_lightning.report.series import Panel, Point, Series

COLORS = ("#2f7ec7", "#e0821a", "#1f9e77", "#c05aa5", "#8a6fd6", "#b8860b", "#d1495b", "#5f8f3f")
"""Told apart on white and on black, and by eyes that see red and green alike; markers tell them apart too."""
MARKERS = "os^DvP*X"
FORECAST = "#888888"
WIDTH, HEIGHT = 5.2, 3.5
"""Inches of one panel."""


def units_chart(panel: Panel, ink: str = "black") -> Figure:
    """Draw the phase diagram of a panel: active units against the KL weight, seeds as a band, the forecast as steps."""
    figure, axes = _panel_figure(panel, "active units", ink)
    if panel.critical_weights is not None and (reach := _reach(panel)):
        dense = np.geomspace(*reach, 600)
        weights = np.array(panel.critical_weights)
        units = [min(panel.latent_dim, int((weights > at).sum())) for at in dense]
        axes.plot(dense, units, color=FORECAST, linewidth=2.2, alpha=0.9, label="forecast", zorder=1)
    _lines(axes, panel, lambda point: point.values("test/active_units"))
    axes.set_ylim(-0.4, panel.latent_dim + 0.6)
    axes.locator_params(axis="y", integer=True)
    return _finished(figure, axes, ink)


def kl_chart(panel: Panel, ink: str = "black") -> Figure:
    """Draw the KL against the KL weight, and the KL that a linear model would have."""
    figure, axes = _panel_figure(panel, "KL [nats/image]", ink)
    linear = sorted(
        (point.kl_weight, sum(found["forecast/kl_per_unit"]))
        for series in panel.series
        for point in series.points
        for found in point.runs[:1]
        if point.kl_weight > 0 and found.get("forecast/kl_per_unit")
    )
    if linear:
        axes.plot(*zip(*linear, strict=True), color=FORECAST, linewidth=2.2, label="linear forecast", zorder=1)
    _lines(axes, panel, lambda point: point.values("test/kl"))
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(bottom=-0.1)
    return _finished(figure, axes, ink)


def elbo_chart(panel: Panel, ink: str = "black") -> Figure:
    """Draw the ELBO, and log p(x) above it, against the KL weight."""
    figure, axes = _panel_figure(panel, "nats per image", ink)
    _lines(axes, panel, lambda point: point.values("test/elbo"), suffix=", ELBO")
    _lines(axes, panel, lambda point: point.values("test/log_px"), suffix=", log p(x)", dashed=True)
    return _finished(figure, axes, ink)


def rate_distortion_chart(panel: Panel, ink: str = "black") -> Figure:
    """Draw the runs in the plane of rate and distortion; on a straight line downwards the ELBO is the same."""
    figure = Figure(figsize=(WIDTH, HEIGHT))
    axes = figure.add_subplot()
    axes.set_title(panel.title, fontsize=10, color=ink)
    for index, series in enumerate(panel.series):
        rate = [np.mean(point.values("test/kl")) for point in series.points]
        distortion = [np.mean(point.values("test/distortion")) for point in series.points]
        [line] = axes.plot(rate, distortion, label=series.name, markersize=5, linewidth=1.2, alpha=0.9)
        line.set(color=COLORS[index % len(COLORS)], marker=MARKERS[index % len(MARKERS)])
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(left=-0.1)
    axes.set_xlabel("rate: KL [nats/image]")
    axes.set_ylabel("distortion [nats/image]")
    _equal_elbos(axes)
    return _finished(figure, axes, ink)


def _equal_elbos(axes: Axes) -> None:
    """Draw where the ELBO is the same."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    rates = np.concatenate([[0.0], np.geomspace(0.01, max(right, 1.0), 200)])
    for total in np.linspace(low, high + right, 12)[1:]:
        axes.plot(rates, total - rates, color=FORECAST, linewidth=0.6, alpha=0.45, zorder=0)
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)


def schedule_chart(histories: Sequence[tuple[str, Sequence[float], Sequence[float]]], ink: str = "black") -> Figure:
    """Draw KL weights in force over the training, each as a share of its own largest.

    Args:
        histories: name, steps and weights in force of one run for each schedule.
        ink: colour of the axes.
    """
    figure = Figure(figsize=(WIDTH, HEIGHT))
    axes = figure.add_subplot()
    for index, (name, steps, weights) in enumerate(histories):
        axes.plot(steps, weights, color=COLORS[index % len(COLORS)], label=name, linewidth=1.6)
    axes.set_xlabel("step")
    axes.set_ylabel("KL weight in force / kl_weight")
    axes.set_ylim(bottom=0)
    return _finished(figure, axes, ink)


def _panel_figure(panel: Panel, ylabel: str, ink: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, HEIGHT))
    axes = figure.add_subplot()
    axes.set_title(panel.title, fontsize=10, color=ink)
    axes.set_xlabel("KL weight")
    axes.set_ylabel(ylabel)
    if reach := _reach(panel):
        axes.set_xscale("log")
        axes.set_xlim(*reach)
        axes.xaxis.set_major_formatter("{x:g}")
    return figure, axes


def _reach(panel: Panel) -> tuple[float, float] | None:
    """Return the KL weights between which a panel is drawn; a weight of 0 has no place on a log scale."""
    weights = [point.kl_weight for series in panel.series for point in series.points if point.kl_weight > 0]
    return (0.7 * min(weights), 1.4 * max(weights)) if weights else None


def _lines(
    axes: Axes, panel: Panel, values: Callable[[Point], list[float]], suffix: str = "", dashed: bool = False
) -> None:
    """Draw a line of means for each series, and a band from the least to the largest over the seeds."""
    for index, series in enumerate(panel.series):
        found = [(point.kl_weight, values(point)) for point in series.points if point.kl_weight > 0]
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
            label=_label(series, len(panel.series)) + suffix,
            zorder=3,
        )
        least, most = ([pick(seeds) for _, seeds in points] for pick in (min, max))
        if least != most:
            axes.fill_between(weights, least, most, color=color, alpha=0.2, linewidth=0, zorder=2)


def _label(series: Series, n_series: int) -> str:
    seeds = max(len(point.runs) for point in series.points)
    return f"{series.name} ({seeds} seeds)" if seeds > 1 and n_series <= len(COLORS) else series.name


def _finished(figure: Figure, axes: Axes, ink: str) -> Figure:
    """Give the axes their ink, a faint grid and a legend."""
    axes.grid(color=FORECAST, alpha=0.25, linewidth=0.6)
    for part in (axes.xaxis, axes.yaxis):
        part.label.set_color(ink)
    axes.tick_params(colors=ink, which="both", labelsize=8)
    for spine in axes.spines.values():
        spine.set_color(FORECAST)
    # Fixed margins: to measure every letter first takes as long as to draw it all.
    figure.subplots_adjust(left=0.13, right=0.97, bottom=0.14, top=0.91)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7.5, labelcolor=ink, framealpha=0)
    return figure


def save_options() -> dict[str, Any]:
    """Return how a chart is saved as SVG: no background, and text as text, which a browser can find and scale."""
    return {"format": "svg", "transparent": True, "metadata": {"Date": None, "Creator": None}}
