"""The curves that "did not train as expected"."""

import pandas as pd
from matplotlib.figure import Figure

from vae_lightning.plots import panels
from vae_lightning.report.study import Study

CURVES = ["test/elbo", "test/kl", "test/distortion"]
LABELS = {"test/distortion": "distortion", "test/kl": "KL"}
SERIES = {
    "one Adam": "optimizer.name=adam estimator.name=pathwise",
    "two Adams, one loss": "optimizer.name=separate",
    "loss anew after the encoder's step": "optimizer.name=SecondLossAfterFirstStep",
    "encoder steps once in five": "optimizer.name=RareSteps optimizer.slow=encoder",
    "decoder steps once in five": "optimizer.name=RareSteps optimizer.slow=decoder",
    "code detached": "estimator.name=DetachedCodes",
    "zero_grad forgotten": "optimizer.name=ForgottenZeroGrad",
}


def with_more(frame: pd.DataFrame, _: pd.DataFrame) -> pd.DataFrame:
    """Add how far each run's last loss and test ELBO are from one Adam's of the same seed; 0 is the same bits."""
    plain = (frame["optimizer.name"] == "adam") & (frame["estimator.name"] == "pathwise")
    one_adam = frame[plain].set_index("seed")
    gaps = [(frame[name] - frame["seed"].map(one_adam[name])).abs() for name in ("own_loss", "test/elbo")]
    return frame.assign(off_one_adam=gaps[0].combine(gaps[1], max))


def training_curves(study: Study) -> Figure:
    figure, [[distortion, kl]] = panels(2, height=4.6)
    for index, (name, conditions) in enumerate(SERIES.items()):
        runs = set(study.runs(conditions)["run"])
        logged = study.curves[study.curves["run"].isin(runs)]
        for axes, column in ((distortion, "test/distortion"), (kl, "test/kl")):
            means = logged.groupby("epoch")[column].mean()
            style = "--" if name == "two Adams, one loss" else "-"
            axes.plot(means.index + 1, means, color=f"C{index}", linestyle=style, label=name)
            axes.set(xlabel="epoch", ylabel=f"{LABELS[column]} [nats], test images")
            axes.grid(alpha=0.3)
    kl.set_yscale("symlog", linthresh=1)
    kl.legend(fontsize=8)
    return figure


FIGURES = {"training_curves.png": training_curves}
