"""Units, ELBO and squared error over the decoder's variance; samples at three of them."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vae_lightning.plots import lines_with_errors, panels
from vae_lightning.report.study import Study

N_PIXELS = 784
FIXED = "likelihood.name=gaussian"
FREE = {"gaussian_learned": "one learned", "gaussian_optimal": "optimal", "gaussian_per_pixel": "one for each pixel"}


def with_more(frame: pd.DataFrame, _: pd.DataFrame) -> pd.DataFrame:
    """Add the largest variance of a direction of the data and the mean squared error, both in squared grey values."""
    variance = frame["decoder_variance"]
    squared = 2 * variance * (frame["test/distortion"] - 0.5 * N_PIXELS * np.log(2 * np.pi * variance))
    return frame.assign(largest_variance=frame["onset"] * frame["likelihood.variance"], mse=squared / N_PIXELS)


def over_variance(study: Study) -> Figure:
    figure, [[units, kl, elbo]] = panels(3)
    runs = study.runs(FIXED)
    onset = float(runs["largest_variance"].iloc[0])
    for axes, column, label in (
        (units, "test/active_directions", "active directions"),
        (kl, "test/kl", "KL [nats]"),
        (elbo, "test/elbo", "ELBO [nats]"),
    ):
        points = {x: list(values) for x, values in runs.groupby("likelihood.variance")[column]}
        lines_with_errors(axes, {"fixed σ²": points})
        for index, (name, label_) in enumerate(FREE.items(), 1):
            found = study.runs(f"likelihood.name={name}")
            if found["decoder_variance"].notna().all():
                axes.plot(found["decoder_variance"], found[column], f"C{index}*", markersize=9, label=label_)
            else:
                axes.axhline(found[column].mean(), color=f"C{index}", linestyle="--", label=label_)
        axes.axvline(onset, color="C3", linewidth=1, label="onset: kl_weight · σ² = largest variance")
        axes.set(xscale="log", xlabel="σ² of the decoder (KL weight 1)", ylabel=label)
    elbo.set_ylim(-1800, 700)
    units.legend(fontsize=7.5)
    return figure


FIGURES = {"over_variance.png": over_variance}
PICTURES = {
    "samples_small.png": (f"{FIXED} likelihood.variance=0.02 seed=0", "samples.png"),
    "samples_half.png": (f"{FIXED} likelihood.variance=0.5 seed=0", "samples.png"),
    "samples_per_pixel.png": ("likelihood.name=gaussian_per_pixel seed=0", "samples.png"),
}
