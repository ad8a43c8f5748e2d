"""The curves that "did not train as expected"."""

from matplotlib.figure import Figure

from vae_lightning.plots import panels
from vae_lightning.report.study import Study

CURVES = ["test/elbo", "test/kl", "test/distortion"]
SERIES = {
    "one Adam": "optimizer.name=adam estimator.name=pathwise",
    "two Adams, one loss": "optimizer.name=separate",
    "loss anew after the encoder's step": "optimizer.name=SecondLossAfterFirstStep",
    "encoder steps once in five": "optimizer.name=RareSteps optimizer.slow=encoder",
    "decoder steps once in five": "optimizer.name=RareSteps optimizer.slow=decoder",
    "code detached": "estimator.name=DetachedCodes",
    "zero_grad forgotten": "optimizer.name=ForgottenZeroGrad",
}


def training_curves(study: Study) -> Figure:
    figure, [[distortion, kl]] = panels(2, height=4.6)
    for index, (name, conditions) in enumerate(SERIES.items()):
        runs = set(study.runs(conditions)["run"])
        logged = study.curves[study.curves["run"].isin(runs)]
        for axes, column in ((distortion, "test/distortion"), (kl, "test/kl")):
            means = logged.groupby("epoch")[column].mean()
            style = "--" if name == "two Adams, one loss" else "-"
            axes.plot(means.index + 1, means, color=f"C{index}", linestyle=style, label=name)
            axes.set(xlabel="epoch", ylabel=f"{column.removeprefix('test/')} [nats], test images")
            axes.grid(alpha=0.3)
    kl.set_yscale("symlog", linthresh=1)
    kl.legend(fontsize=8)
    return figure


FIGURES = {"training_curves.png": training_curves}
