"""The phase diagram of `make sweep`."""

from matplotlib.figure import Figure

from vae_lightning.plots import forecast_steps, lines_with_errors, panels
from vae_lightning.report.study import Study


def phase_diagram(study: Study) -> Figure:
    figure, [[units, kl]] = panels(2)
    critical = study.frame.filter(like="forecast/critical_weights/").iloc[0].dropna()
    forecast_steps(units, list(critical), list(study.frame["kl_weight"]), 10)
    for axes, column, label in ((units, "test/active_directions", "active directions"), (kl, "test/kl", "KL [nats]")):
        lines_with_errors(axes, study.points(column, "kl_weight", "beta_schedule.name"))
        axes.axvline(float(critical.iloc[0]), color="C3", linewidth=1, label="forecast of the onset")
        axes.set(xscale="log", xlabel="KL weight", ylabel=label)
    kl.set_yscale("symlog", linthresh=0.1)
    kl.set_ylim(bottom=-0.02)
    units.legend(fontsize=8)
    return figure


FIGURES = {"phase_diagram.png": phase_diagram}
