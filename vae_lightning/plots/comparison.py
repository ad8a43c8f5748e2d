"""A number of several groups of runs against another, with the scatter of the seeds."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

MARKERS = "os^DvP*XhpdH"
Points = Mapping[float, Sequence[float]]
"""The values of all seeds, by where they stand on the horizontal axis."""


def panels(n_columns: int, n_rows: int = 1, height: float = 3.6) -> tuple[Figure, np.ndarray]:
    """Return a figure and its axes in rows, each about 5 inches wide."""
    figure = Figure(figsize=(5.2 * n_columns, height * n_rows), layout="constrained")
    return figure, figure.subplots(n_rows, n_columns, squeeze=False)


def lines_with_errors(axes: Axes, series: Mapping[str, Points], *, marks_only: bool = False) -> None:
    """Draw a line of means for each series, with bars of one standard error of the mean."""
    for index, (name, points) in enumerate(series.items()):
        at = sorted(points)
        values = [np.asarray(points[x], dtype=float) for x in at]
        means = [float(np.nanmean(each)) for each in values]
        errors = [float(np.nanstd(each, ddof=1)) / len(each) ** 0.5 if len(each) > 1 else 0.0 for each in values]
        style = "none" if marks_only else "-"
        axes.errorbar(
            at, means, errors, label=name, color=f"C{index % 10}", linestyle=style, linewidth=1.4, capsize=2,
            marker=MARKERS[index % len(MARKERS)], markersize=4.5,
        )  # fmt: skip
    axes.grid(alpha=0.3)


def forecast_steps(axes: Axes, critical: Sequence[float], weights: Sequence[float], latent_dim: int) -> None:
    """Draw how many directions are forecast to live at each KL weight of a range, by its ends.

    Of more directions than ``critical`` has, nothing is drawn.
    """
    dense = np.geomspace(min(weights), max(weights), 600)
    if len(critical) < latent_dim:
        dense = dense[dense >= min(critical)]
    living = [min(latent_dim, sum(each > at for each in critical)) for at in dense]
    axes.plot(dense, living, color="grey", linewidth=2.5, alpha=0.6, label="forecast", zorder=1)


def bars_with_errors(axes: Axes, groups: Mapping[str, Sequence[float]]) -> None:
    """Draw a horizontal bar for each group, from the top down, with one standard error and a dot for each seed."""
    for place, values in enumerate(groups.values()):
        found = np.asarray(values, dtype=float)
        axes.barh(place, found.mean(), color="C0", alpha=0.55, height=0.65)
        axes.plot(found, [place] * len(found), "k.", markersize=4)
    axes.set_yticks(range(len(groups)), list(groups))
    axes.invert_yaxis()
    axes.grid(alpha=0.3, axis="x")
