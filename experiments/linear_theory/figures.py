"""Trained linear VAEs on the exact optimum: KL, decoder and bound over the KL weight, and over latent units."""

import math

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from vae_lightning.plots import lines_with_errors, panels
from vae_lightning.report.study import Study
from vae_lightning.theory import learned_variance, linear_vae

SPECTRUM = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.125, 0.0625], dtype=torch.float64)
"""Of ``data=linear_gaussian``."""
FIXED, LEARNED = "likelihood.name=gaussian", "likelihood.name=gaussian_learned"


def with_more(frame: pd.DataFrame, _: pd.DataFrame) -> pd.DataFrame:
    """Add what the optimum has: its loss, its KL and its variance, and how far the trained loss is above it."""
    rows = [_exact(row["likelihood.name"], row["kl_weight"], int(row["latent_dim"])) for _, row in frame.iterrows()]
    exact = pd.DataFrame(rows, index=frame.index)
    return pd.concat([frame, exact], axis=1).assign(
        gap=lambda table: table["own_loss"] - table["exact/loss"],
        gap_size=lambda table: table["gap"].abs(),
        units_off=lambda table: (table["test/active_directions"] - table["exact/units"]).abs(),
    )


def _exact(likelihood: str, kl_weight: float, latent_dim: int) -> dict[str, float]:
    variance = 1.0 if likelihood == "gaussian" else float(learned_variance(SPECTRUM, latent_dim, kl_weight))
    found = linear_vae(SPECTRUM, latent_dim, kl_weight, variance)
    return {
        "exact/loss": found.objective,
        "exact/kl": float(found.kl_per_unit.sum()),
        "exact/units": float(found.active_units),
        "exact/variance": variance,
    }


def transition(study: Study) -> Figure:
    figure, [[units, kl]] = panels(2)
    weights = np.geomspace(0.08, 12, 400)
    exact = [linear_vae(SPECTRUM, 6, weight, 1.0) for weight in weights]
    units.plot(weights, [found.active_units for found in exact], color="grey", linewidth=2, alpha=0.6, label="exact")
    kl.plot(
        weights,
        [float(found.kl_per_unit.sum()) for found in exact],
        color="grey",
        linewidth=2,
        alpha=0.6,
        label="exact",
    )
    for axes, column, label in ((units, "test/active_directions", "active directions"), (kl, "test/kl", "KL [nats]")):
        runs = study.runs(FIXED)
        lines_with_errors(
            axes, {"trained": {x: list(y) for x, y in runs.groupby("kl_weight")[column]}}, marks_only=True
        )
        for eigenvalue in SPECTRUM[:6]:
            axes.axvline(float(eigenvalue), color="C3", linewidth=0.6, alpha=0.7)
        axes.set(xscale="log", xlabel="KL weight (σ² = 1); red: eigenvalues of the data", ylabel=label)
        axes.legend(fontsize=8)
    return figure


def probabilistic_pca(study: Study) -> Figure:
    figure, [[bound, variance]] = panels(2)
    runs = study.runs(LEARNED)
    dimensions = range(1, 8)
    exact = {k: learned_variance(SPECTRUM, k, 1.0) for k in dimensions}
    evidence = [-linear_vae(SPECTRUM, k, 1.0, float(exact[k])).objective for k in dimensions]
    full = -0.5 * float((torch.log(2 * math.pi * SPECTRUM) + 1).sum())
    bound.plot(dimensions, evidence, color="grey", linewidth=2, alpha=0.6, label="log p(x) of probabilistic PCA")
    bound.axhline(full, color="grey", linestyle=":", label="entropy bound (8 units)")
    trained = {k: list(-loss) for k, loss in runs.groupby("latent_dim")["own_loss"]}
    lines_with_errors(bound, {"ELBO of the trained VAE": trained}, marks_only=True)
    bound.set(xlabel="latent units", ylabel="nats per vector, training vectors")
    variance.plot(
        dimensions, [float(exact[k]) for k in dimensions], color="grey", linewidth=2, alpha=0.6, label="exact"
    )
    learned = {k: list(found) for k, found in runs.groupby("latent_dim")["decoder_variance"]}
    lines_with_errors(variance, {"learned": learned}, marks_only=True)
    variance.set(xlabel="latent units", ylabel="σ²", yscale="log")
    for axes in (bound, variance):
        axes.legend(fontsize=8)
    return figure


FIGURES = {"transition.png": transition, "probabilistic_pca.png": probabilistic_pca}
