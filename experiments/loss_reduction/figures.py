"""Sum or mean over pixels: against what is typed, and against what decides."""

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vae_lightning.plots import lines_with_errors, panels
from vae_lightning.report.study import Study

N_PIXELS = 784
NAMES = {0.5: "summed over pixels (σ² = 1/2)", 392.0: "averaged over pixels (σ² = 392)"}


def with_more(frame: pd.DataFrame, _: pd.DataFrame) -> pd.DataFrame:
    """Add the squared error per image, which both losses have, and the largest variance of a direction of the data."""
    variance = frame["likelihood.variance"]
    constant = 0.5 * N_PIXELS * np.log(2 * math.pi * variance)
    squared = 2 * variance * (frame["test/distortion"] - constant)
    return frame.assign(squared_error=squared, largest_variance=frame["onset"] * variance)


def nominal_and_true(study: Study) -> Figure:
    figure, [[typed, true, left]] = panels(3)
    for axes, x, column, label in (
        (typed, "kl_weight", "test/active_directions", "KL weight as typed"),
        (true, "kl_weight_times_variance", "test/active_directions", "KL weight · σ²"),
        (left, "kl_weight_times_variance", "test/kl", "KL weight · σ²"),
    ):
        groups = {NAMES[float(name)]: points for name, points in study.points(column, x, "likelihood.variance").items()}
        lines_with_errors(axes, groups)
        axes.set(xscale="log", xlabel=label, ylabel="active directions" if axes is not left else "KL [nats]")
    for axes in (true, left):
        axes.axvline(
            float(study.frame["largest_variance"].iloc[0]),
            color="C3",
            label="largest variance of a direction",
        )
    left.set_yscale("symlog", linthresh=0.1)
    left.set_ylim(-0.02, 100)
    typed.legend(fontsize=8)
    true.legend(fontsize=8)
    return figure


FIGURES = {"nominal_and_true.png": nominal_and_true}
