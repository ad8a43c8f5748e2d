"""Charts of many runs, as matplotlib figures: the phase diagram first. No torch: a report opens quickly."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from vae_lightning.report.frame import bounds_by_codes, critical_weights
from vae_lightning.runs.results import ACTIVE_DIRECTIONS, ACTIVE_UNITS, DISTORTION, ELBO, KL, KL_WEIGHT, LOG_PX

COLORS = ("#2f7ec7", "#c96f0a", "#1f9e77", "#c05aa5", "#8a6fd6", "#b8860b", "#d1495b", "#5f8f3f")
"""Told apart on white and on black, and by eyes that see red and green alike; markers tell them apart too."""
MARKERS = "os^DvP*"
FORECAST = "#888888"
WIDTH, HEIGHT = 5.2, 3.5
"""Inches of one panel, without its legend."""
LEGEND_ROW = 0.22
"""Inches."""


History = tuple[str, list[int], list[float]]
"""Name, steps, and KL weights in force at them."""
Draw = Callable[[Axes, pd.DataFrame], None]
"""Draws the runs of one panel."""


def chart(draw: Draw, panel: pd.DataFrame, ink: str = "black") -> Figure:
    """Return a figure of one chart of a panel; ``ink`` is the colour of its axes and letters."""
    figure = Figure(figsize=(WIDTH, HEIGHT))
    axes = figure.add_subplot()
    axes.set_title(panel["panel"].iloc[0], fontsize=11, parse_math=False)
    draw(axes, panel)
    return _finished(figure, ink)


def phase_diagram(runs: pd.DataFrame) -> Figure | None:
    """Return active units and KL against the KL weight, a row for each panel; None where no panel has two weights."""
    drawn = [panel for _, panel in runs.groupby("panel", sort=False) if len(weights_of(panel)) > 1]
    if not drawn:
        return None
    figure = Figure(figsize=(2 * WIDTH, HEIGHT * len(drawn)), layout="constrained")
    for row, panel in zip(figure.subplots(len(drawn), 2, squeeze=False), drawn, strict=True):
        for axes, draw in zip(row, (draw_units, draw_kl), strict=True):
            axes.set_title(panel["panel"].iloc[0], fontsize=11, parse_math=False)
            draw(axes, panel)
    return _finished(figure, "black")


def draw_units(axes: Axes, panel: pd.DataFrame) -> None:
    """Draw active units and active directions against the KL weight, seeds as a band, the forecast as steps.

    The forecast counts directions: units that share one are several active units, and one active direction.
    """
    _over_weights(axes, panel, "active units and directions")
    latent_dim = panel["results"].iloc[0].latent_dim
    critical = critical_weights(panel)
    if critical is not None and weights_of(panel):
        dense = np.geomspace(*axes.get_xlim(), 600)
        if len(critical) < latent_dim:  # so many are kept in the results; below the last there may be more
            dense = dense[dense >= min(critical)]
        units = [min(latent_dim, int((np.array(critical) > at).sum())) for at in dense]
        applies = all(found.forecast_applies for found in panel["results"])
        label = "forecast" if applies else "forecast of a plain VAE"
        axes.plot(dense, units, color=FORECAST, linewidth=2.2, alpha=0.9, label=label, zorder=1)
    _lines(axes, panel, panel, ACTIVE_UNITS)
    if panel[ACTIVE_DIRECTIONS].notna().any():  # results of an earlier version have units only
        _lines(axes, panel, panel, ACTIVE_DIRECTIONS, suffix=None, dashed=True)
        for name, dashed in (("active units", False), ("active directions", True)):
            axes.plot([], [], color=FORECAST, marker=MARKERS[0], label=name, **_style(dashed))
    axes.set_ylim(-0.4, latent_dim + 0.6)
    axes.locator_params(axis="y", integer=True)


def draw_kl(axes: Axes, panel: pd.DataFrame) -> None:
    """Draw the KL against the KL weight, and the KL that a linear model would have."""
    _over_weights(axes, panel, "KL [nats/image]")
    linear = {
        found.kl_weight: found.kl_if_linear
        for found in panel["results"][panel["over_weights"]]
        if found.forecast_applies and found.kl_weight == found.kl_weight_at_the_end and found.forecast_kl_per_unit
    }
    if linear:
        points = zip(*sorted(linear.items()), strict=True)
        axes.plot(*points, color=FORECAST, linewidth=2.2, label="linear forecast", zorder=1)
    _lines(axes, panel, panel, KL)
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(-0.1, 1.4 * axes.get_ylim()[1])


def draw_elbo(axes: Axes, panel: pd.DataFrame) -> None:
    """Draw the ELBO against the KL weight, and above it the importance-weighted bound with K codes per image, L_K.

    L_K is at most log p(x) (Burda et al. 2015, eq. 8). Runs evaluated with another number of codes are another line.
    """
    _over_weights(axes, panel, "nats per image")
    _lines(axes, panel, panel, ELBO, suffix=", ELBO")
    for n_codes, runs in bounds_by_codes(panel).items():
        _lines(axes, panel, runs, LOG_PX, suffix=f", L{n_codes}", dashed=True)


def draw_rate_distortion(axes: Axes, panel: pd.DataFrame) -> None:
    """Draw the runs in the plane of rate and distortion, and where in it the ELBO is the same.

    An autoencoder, whose rate is not defined, has no place there.
    """
    for index, (name, series) in enumerate(panel.groupby("series", sort=False)):
        means = series.dropna(subset=[KL]).groupby(KL_WEIGHT)[[KL, DISTORTION]].mean()
        if not means.empty:
            [line] = axes.plot(means[KL], means[DISTORTION], label=name, markersize=5, linewidth=1.2, alpha=0.9)
            line.set(color=COLORS[index % len(COLORS)], marker=MARKERS[index % len(MARKERS)])
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(left=-0.1)
    axes.set_xlabel("rate: KL [nats/image]")
    axes.set_ylabel("distortion [nats/image]")
    _equal_elbos(axes)


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


def _over_weights(axes: Axes, panel: pd.DataFrame, ylabel: str) -> None:
    """Set up axes of which the horizontal one is the KL weight, on a log scale: a weight of 0 has no place on it."""
    axes.set_xlabel("KL weight")
    axes.set_ylabel(ylabel)
    if weights := weights_of(panel):
        axes.set_xscale("log")
        axes.set_xlim(0.7 * min(weights), 1.4 * max(weights))
        if max(weights) / min(weights) < 30:
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))


def weights_of(panel: pd.DataFrame) -> set[float]:
    """Return the KL weights that a log scale has a place for."""
    return set(panel[KL_WEIGHT][panel["over_weights"]])


def _lines(
    axes: Axes, panel: pd.DataFrame, runs: pd.DataFrame, key: str, suffix: str | None = "", dashed: bool = False
) -> None:
    """Draw a line of means for each series, and a band from the least to the largest over the seeds.

    The legend names a series with the suffix, or not at all where that is None.
    """
    names = list(panel["series"].unique())
    measured = runs[runs["over_weights"]].dropna(subset=[key])
    for name, series in measured.groupby("series", sort=False):
        index = names.index(name)
        points = series.groupby(KL_WEIGHT)[key].agg(["mean", "min", "max", "size"])
        color = COLORS[index % len(COLORS)]
        axes.plot(
            points.index,
            points["mean"],
            color=color,
            marker=MARKERS[index % len(MARKERS)],
            label=None if suffix is None else _label(str(name), points["size"], len(names)) + suffix,
            zorder=3,
            **_style(dashed),
        )
        if (points["min"] < points["max"]).any():
            band = (points.index, points["min"], points["max"])
            axes.fill_between(*band, color=color, alpha=0.2, linewidth=0, zorder=2)
            axes.vlines(*band, color=color, alpha=0.5, linewidth=1, zorder=2)  # a band of one weight


def _style(dashed: bool) -> dict[str, Any]:
    """Return how a line is drawn; hollow markers are a ring around the full ones that they coincide with."""
    if dashed:
        return {"linestyle": "--", "linewidth": 1.4, "markersize": 8, "fillstyle": "none"}
    return {"linestyle": "-", "linewidth": 1.4, "markersize": 5, "fillstyle": "full"}


def _label(name: str, n_seeds: pd.Series, n_series: int) -> str:
    least, most = n_seeds.min(), n_seeds.max()
    if most == 1 or n_series > len(COLORS):
        return name
    return f"{name} ({most if least == most else f'{least} to {most}'} seeds)"


def _finished(figure: Figure, ink: str) -> Figure:
    """Give all axes their ink, a faint grid and a legend, and the figure the room that the legends take."""
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
    rows = [_legend(axes, ink) for axes in figure.axes]
    if figure.get_layout_engine() is None:
        _make_room(figure, rows[0])
    else:  # the two charts of a panel stand side by side
        figure.set_figheight(figure.get_figheight() + LEGEND_ROW * sum(map(max, rows[::2], rows[1::2])))
    return figure


def _legend(axes: Axes, ink: str) -> int:
    """Draw the legend below the axes; return how many rows it has."""
    labels = axes.get_legend_handles_labels()[1]
    if not labels:
        return 0
    columns = 2 if max(map(len, labels)) < 28 else 1
    legend = axes.legend(
        fontsize=9.5,
        labelcolor=ink,
        framealpha=0,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.17),
        ncols=columns,
    )
    for text in legend.get_texts():  # a name may have a dollar sign in it
        text.set_parse_math(False)
    return math.ceil(len(labels) / columns)


def _make_room(figure: Figure, rows: int) -> None:
    """Set fixed margins, with so many rows of a legend below: to measure every letter takes as long as to draw it."""
    height = HEIGHT + LEGEND_ROW * rows
    figure.set_size_inches(WIDTH, height)
    figure.subplots_adjust(left=0.14, right=0.97, bottom=(0.6 + LEGEND_ROW * rows) / height, top=1 - 0.32 / height)


def save_options() -> dict[str, Any]:
    """Return how a chart is saved as SVG: no background, and text as text, which a browser can find and scale."""
    return {"format": "svg", "transparent": True, "metadata": dict.fromkeys(("Date", "Creator", "Format", "Type"))}
