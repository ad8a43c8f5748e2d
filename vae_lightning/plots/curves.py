"""Curves over training steps, and over KL weights."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

FEW_DECADES = 30
"""Times the least KL weight: up to so many each step of an axis has its number."""


def curves(lines: Sequence[dict[str, Any]], split: str) -> Figure:
    """Draw ELBO, KL, distortion and active units against the step, from the local curves."""
    # Fixed margins, here and in every figure of a run: a layout that measures each letter draws everything twice.
    figure = Figure(figsize=(9, 6))
    figure.subplots_adjust(left=0.09, right=0.91, bottom=0.08, top=0.98, wspace=0.26, hspace=0.08)
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


def forecast_curves(
    forecasts: Sequence[tuple[str, Sequence[int]]], kl_weights: Sequence[float], marked: Sequence[float] = ()
) -> Figure:
    """Draw how many units are forecast to live at each of some KL weights, side by side by title; some are marked."""
    figure = Figure(figsize=(6.4 * len(forecasts), 4.2), layout="constrained")
    places = figure.subplots(1, len(forecasts), squeeze=False).flat
    for axes, (title, units) in zip(places, forecasts, strict=True):
        axes.semilogx(kl_weights, units, color="black", linewidth=1.2, drawstyle="steps-mid")
        for weight in marked:
            axes.axvline(weight, color="C1", linestyle="--", linewidth=1)
        axes.set(xlabel="KL weight, in nats", ylabel="units that live", ylim=(-0.3, None), title=title)
        axes.xaxis.set_major_formatter("{x:g}")
        if max(kl_weights) < FEW_DECADES * min(kl_weights):  # of more the labels would lie upon each other
            axes.xaxis.set_minor_formatter("{x:g}")
        axes.tick_params(axis="x", which="minor", labelsize=7)
        axes.locator_params(axis="y", integer=True)
        axes.grid(alpha=0.3)
    return figure


def _points(lines: Sequence[dict[str, Any]], name: str) -> tuple[list[int], list[float]]:
    points = [(line["step"], np.nan if line[name] is None else line[name]) for line in lines if name in line]
    return [step for step, _ in points], [value for _, value in points]
