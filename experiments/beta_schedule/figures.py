"""What annealing saves at its end, and what is left of it after its last weight was held for as long again."""

import pandas as pd
from matplotlib.figure import Figure

from vae_lightning.plots import bars_with_errors, panels
from vae_lightning.report.study import Study

CURVES = ["test/active_units", "test/kl", "test/elbo", "train/kl_weight"]
END = 9
"""The last epoch of the schedules, from 0; the run ends with epoch 19."""
WEIGHTS = (4, 7)


def with_more(frame: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Add active units, KL and ELBO as they were when the schedules had ended, before their last weight was held."""
    ended = curves[curves["epoch"] == END].set_index("run")
    names = {"test/active_units": "ended/active_units", "test/kl": "ended/kl", "test/elbo": "ended/elbo"}
    return frame.join(ended[list(names)].rename(columns=names), on="run")


def over_time(study: Study) -> Figure:
    figure, rows = panels(2, len(WEIGHTS))
    for weight, (units, kl) in zip(WEIGHTS, rows, strict=True):
        for index, (name, runs) in enumerate(
            study.curves[study.curves["kl_weight"] == weight].groupby("beta_schedule.name")
        ):
            for axes, column in ((units, "test/active_units"), (kl, "test/kl")):
                means = runs.groupby("epoch")[column].mean()
                axes.plot(means.index + 1, means, color=f"C{index}", label=name, linewidth=1.4)
        for axes, label in ((units, "active units"), (kl, "KL [nats]")):
            axes.axvline(END + 1, color="grey", linestyle=":")
            axes.set(xlabel="epoch; dotted: the schedules' end", ylabel=label, title=f"final KL weight {weight}")
            axes.grid(alpha=0.3)
        kl.set_ylim(0, {4: 8, 7: 4}[weight])
    rows[0][1].legend(fontsize=8)
    return figure


def saved(study: Study) -> Figure:
    figure, [axes] = panels(len(WEIGHTS))
    for weight, place in zip(WEIGHTS, axes, strict=True):
        runs = study.runs(f"kl_weight={weight}")
        groups = {name: list(values) for name, values in runs.groupby("beta_schedule.name")["test/active_directions"]}
        bars_with_errors(place, groups)
        place.axvline(runs["forecast/active_units"].iloc[0], color="C3", label="forecast")
        place.set(xlabel="active directions at the end of the hold", title=f"final KL weight {weight}")
        place.legend(fontsize=8)
    return figure


FIGURES = {"over_time.png": over_time, "saved.png": saved}
