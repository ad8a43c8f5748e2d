"""What each remedy does to the plain objective, to ELBO, log p(x), information and units, at two KL weights."""

from matplotlib.figure import Figure

from vae_lightning.plots import bars_with_errors, panels
from vae_lightning.report.study import Study

PLAIN = "model.name=mlp beta_schedule.name=constant objective.name=elbo posterior.name=diagonal optimizer.name=adam"
REMEDIES = {
    "plain": PLAIN,
    "linear warm-up": PLAIN.replace("constant", "linear"),
    "cyclical": PLAIN.replace("constant", "cyclical_linear"),
    "free bits": PLAIN.replace("elbo", "free_bits"),
    "capacity": PLAIN.replace("elbo", "capacity"),
    "MMD": PLAIN.replace("elbo", "mmd"),
    "IWAE, k = 5": PLAIN.replace("elbo", "iwae"),
    "batch norm": PLAIN.replace("diagonal", "batch_norm"),
    "full covariance": PLAIN.replace("diagonal", "full_covariance"),
    "skip decoder": PLAIN.replace("mlp", "mlp_skip"),
    "aggressive": PLAIN.replace("adam", "aggressive"),
}
COLUMNS = {
    "plain_loss": "distortion + w KL [nats]: lower is better",
    "test/elbo": "ELBO [nats]",
    "test/log_px": "L₅₀ [nats]",
    "test/mutual_information/0": "I(x; z) [nats]",
    "test/active_directions": "active directions",
}


def compared(study: Study) -> Figure:
    weights = sorted(study.frame["kl_weight"].unique())
    figure, rows = panels(len(COLUMNS), len(weights), height=4)
    for weight, row in zip(weights, rows, strict=True):
        for axes, (column, label) in zip(row, COLUMNS.items(), strict=True):
            groups = {name: list(study.runs(f"{runs} kl_weight={weight:g}")[column]) for name, runs in REMEDIES.items()}
            bars_with_errors(axes, groups)
            axes.set_xlabel(label)
            values = [value for group in groups.values() for value in group]
            if column in {"plain_loss", "test/elbo", "test/log_px"}:
                margin = 0.1 * (max(values) - min(values))
                axes.set_xlim(min(values) - margin, max(values) + margin)
        row[0].set_title(f"KL weight {weight:g}")
    return figure


FIGURES = {"compared.png": compared}
