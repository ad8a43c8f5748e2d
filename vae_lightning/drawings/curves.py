"""Curves over training steps, and over KL weights."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure


def curves(lines: Sequence[dict[str, Any]], split: str) -> Figure:
    """Draw ELBO, KL, distortion and active units against the step, from the local curves."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True)
    for axes, (name, label) in zip(
        panels.flat,
        [("elbo", "ELBO [nats/image]"), ("kl", "KL [nats/image]"), ("distortion", "distortion [nats/image]")],
        strict=False,
    ):
        for source in ("train", split):
            axes.plot(*_points(lines, f"{source}/{name}"), label=source, marker="." if source == split else None)
        axes.set_ylabel(label)
        axes.legend()
    last = panels.flat[3]
    last.plot(*_points(lines, f"{split}/active_units"), color="C1", marker=".")
    last.set(ylabel=f"active units ({split})", ylim=(-0.1, None))
    last.yaxis.get_major_locator().set_params(integer=True)
    weight = last.twinx()
    weight.plot(*_points(lines, "train/kl_weight"), color="C2", linestyle=":")
    weight.set_ylabel("KL weight in force", color="C2")
    weight.set_ylim(0, None)
    for axes in panels[1]:
        axes.set_xlabel("step")
    return figure


def forecast_curve(
    series: Sequence[tuple[str, Callable[[float], int], Sequence[float]]],
    measured: Sequence[tuple[str, Sequence[float], Sequence[float]]] = (),
) -> Figure:
    """Draw forecast units against KL weight as steps, and measured ones as points on the same axes.

    Args:
        series: name, units as a function of the KL weight, and the weights between whose ends it is drawn.
        measured: name, KL weights, units.
    """
    figure = Figure(figsize=(6.8, 4.4), layout="constrained")
    axes = figure.add_subplot()
    for name, units_at, weights in series:
        dense = np.geomspace(max(min(weights), 1e-9), max(weights), 1000)
        axes.semilogx(dense, [units_at(float(weight)) for weight in dense], label=f"forecast: {name}")
    for (name, weights, found), marker in zip(measured, "os^vDP*X" * len(measured), strict=False):
        axes.plot(weights, found, marker, ms=6, alpha=0.8, fillstyle="none", mew=1.6, label=name)
    axes.set(xlabel="KL weight", ylabel="units that live", ylim=(-0.2, None))
    axes.locator_params(axis="y", integer=True)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def _points(lines: Sequence[dict[str, Any]], name: str) -> tuple[list[int], list[float]]:
    points = [(line["step"], np.nan if line[name] is None else line[name]) for line in lines if name in line]
    return [step for step, _ in points], [value for _, value in points]
