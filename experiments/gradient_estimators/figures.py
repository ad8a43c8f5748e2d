"""Variance of the encoder's gradient and the bound, along the training."""

import pandas as pd
from matplotlib.figure import Figure

from vae_lightning.plots import panels
from vae_lightning.report.study import Study

CURVES = ["train/gradient_variance", "train/gradient_signal", "test/elbo", "test/kl"]
ELBO, IWAE = "objective.name=elbo ", "objective.name=iwae "
SERIES = {
    "REINFORCE": ELBO + "estimator.name=score_function estimator.baseline=none",
    "REINFORCE, leave-one-out": ELBO + "estimator.name=score_function estimator.baseline=leave_one_out",
    "pathwise": ELBO + "estimator.name=pathwise",
    "sticking the landing": ELBO + "estimator.name=sticking_the_landing",
    "L₅: VIMCO": IWAE + "estimator.name=vimco",
    "L₅: pathwise": IWAE + "estimator.name=pathwise",
    "L₅: DReG": IWAE + "estimator.name=dreg",
}


def with_more(frame: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Add the gradient's variance in the first epoch (mean of before and after it) and its moments after the last, and
    how far the ELBO is below the pathwise gradient's."""
    logged = curves.set_index("run")
    first, last = logged["epoch"] == curves["epoch"].min(), logged["epoch"] == curves["epoch"].max()
    more = {
        "variance/at_start": logged.loc[first, "train/gradient_variance"],
        "variance/at_end": logged.loc[last, "train/gradient_variance"],
        "signal/at_end": logged.loc[last, "train/gradient_signal"],
    }
    plain = (frame["objective.name"] == "elbo") & (frame["estimator.name"] == "pathwise")
    lost = frame.loc[plain, "test/elbo"].mean() - frame["test/elbo"]
    return frame.assign(elbo_lost=lost).join(pd.DataFrame(more), on="run")


def along_training(study: Study) -> Figure:
    figure, [[variance, bound]] = panels(2, height=4.6)
    for index, (name, conditions) in enumerate(SERIES.items()):
        logged = study.curves[study.curves["run"].isin(study.runs(conditions)["run"])]
        style = "--" if name.startswith("L") else "-"
        for axes, column in ((variance, "train/gradient_variance"), (bound, "test/elbo")):
            means = logged.groupby("epoch")[column].mean()
            axes.plot(means.index + 1, means, color=f"C{index}", linestyle=style, label=name)
            axes.grid(alpha=0.3)
    variance.set(xlabel="epoch", ylabel="variance of the encoder's gradient", yscale="log")
    bound.set(xlabel="epoch", ylabel="ELBO [nats], test images", ylim=(-190, -110))
    variance.legend(fontsize=8)
    return figure


FIGURES = {"along_training.png": along_training}
