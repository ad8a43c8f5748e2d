"""The phase diagram: units, KL and ELBO against the KL weight."""

from matplotlib.figure import Figure

from vae_lightning.plots import forecast_steps, lines_with_errors, panels
from vae_lightning.report.study import Study

DECODERS = {"Gaussian, σ² = 1/2": "gaussian", "Bernoulli, dynamic binarisation": "bernoulli"}


def phase_diagram(study: Study) -> Figure:
    figure, rows = panels(3, len(DECODERS))
    for (title, likelihood), (units, kl, elbo) in zip(DECODERS.items(), rows, strict=True):
        runs = study.runs(f"likelihood.name={likelihood}")
        critical = runs.filter(like="forecast/critical_weights/").iloc[0].dropna()
        forecast_steps(units, list(critical), list(runs["kl_weight"]), 10)
        ceiling = runs.groupby("kl_weight")["forecast/kl_ceiling"].first()
        kl.plot(ceiling.index, ceiling, color="grey", linestyle=":", label="ceiling")
        for axes, column, label in (
            (units, "test/active_directions", "active directions"),
            (kl, "test/kl", "KL [nats]"),
            (elbo, "test/elbo", "ELBO [nats]"),
        ):
            lines_with_errors(axes, study.points(column, "kl_weight", "beta_schedule.name", runs))
            axes.axvline(runs["onset"].iloc[0], color="C3", linewidth=1, label="forecast of the onset")
            axes.set(xscale="log", xlabel="KL weight", ylabel=label)
        kl.set_yscale("symlog", linthresh=0.1)
        kl.set_ylim(bottom=-0.02)
        units.set_title(title, fontsize=10)
    rows[0][0].legend(fontsize=8)
    rows[0][1].legend(fontsize=8)
    return figure


FIGURES = {"phase_diagram.png": phase_diagram}
