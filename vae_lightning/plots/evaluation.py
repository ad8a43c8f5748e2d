"""What an evaluation found, drawn."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor


def units(
    kl_per_unit: Float[Tensor, " latent"],
    variances: Float[Tensor, " latent"],
    kl_by_epoch: Float[Tensor, "epochs latent"],
    forecast_kl: Float[Tensor, " latent"] | None,
    threshold: float,
) -> Figure:
    """Draw what became of each unit: KL beside the forecast, variance of the mean, and the KL over the epochs."""
    figure = Figure(figsize=(10.5, 3.6))
    figure.subplots_adjust(left=0.06, right=0.95, bottom=0.15, top=0.91, wspace=0.3)
    bars, spectrum, history = figure.subplots(1, 3)
    n_units = len(kl_per_unit)
    places = np.arange(1, n_units + 1)
    bars.bar(places, kl_per_unit.sort(descending=True).values.numpy(), color="C0", label="measured")
    if forecast_kl is not None:
        bars.plot(
            places, forecast_kl.sort(descending=True).values.numpy(), "k_", ms=9, mew=1.6, label="linear forecast"
        )
        bars.legend()
    bars.margins(y=0.25)  # room for the legend
    bars.set(xlabel="unit, by KL", ylabel="KL [nats/image]", title="KL per unit")
    spectrum.semilogy(places, variances.sort(descending=True).values.clamp_min(1e-8).numpy(), "o", color="C1", ms=4)
    spectrum.yaxis.set_major_formatter("{x:g}")  # powers of ten by mathtext take longer than all else
    spectrum.minorticks_off()
    spectrum.axhline(threshold, color="black", linestyle="--", linewidth=1)
    spectrum.text(n_units, threshold, f"active above {threshold:g} ", ha="right", va="bottom", fontsize=8)
    spectrum.set(xlabel="unit, by variance", ylabel="variance of the posterior mean", title="which units move")
    if len(kl_by_epoch):
        order = kl_by_epoch[-1].argsort(descending=True)
        extent = (0.5, len(kl_by_epoch) + 0.5, n_units + 0.5, 0.5)
        shown = history.imshow(kl_by_epoch[:, order].T.numpy(), aspect="auto", cmap="viridis", extent=extent, vmin=0)
        figure.colorbar(shown, ax=history, label="KL [nats/image]")
    history.set(xlabel="epoch", ylabel="unit, by its last KL", title="who lives, who dies")
    for axis in (bars.xaxis, spectrum.xaxis, history.xaxis, history.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    return figure


def collapse_curve(epsilons: Float[Tensor, " thresholds"], share: Float[Tensor, " thresholds"], delta: float) -> Figure:
    """Draw the share of units that have (epsilon, delta)-collapsed against epsilon."""
    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    axes = figure.add_subplot()
    axes.semilogx(epsilons.numpy(), share.numpy(), drawstyle="steps-post")
    axes.set(
        xlabel="ε [nats]",
        ylabel="share of units collapsed",
        ylim=(-0.03, 1.03),
        title=f"(ε, δ)-collapse, δ = {delta:g}",
    )
    axes.grid(alpha=0.3)
    return figure


def residuals(
    residual: Float[Tensor, " directions"],
    critical_weights: Float[Tensor, " _"] | None,
    kl_weight: float | None,
) -> Figure:
    """Draw the data's spectrum and what the model left of it, both in units of the KL weight: above it, a unit pays."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    _spectra(figure.add_subplot(), residual, critical_weights, kl_weight)
    return figure


def aggregate_posterior(codes: Float[Tensor, "n latent"], unit_names: Sequence[int]) -> Figure:
    """Draw the distribution over all images of each unit's code beside the prior."""
    n_columns = min(4, len(unit_names))
    n_rows = -(-len(unit_names) // n_columns)
    figure = Figure(figsize=(max(6.4, 2.6 * n_columns), 2.2 * n_rows + 0.3), layout="constrained")
    panels = list(figure.subplots(n_rows, n_columns, squeeze=False).flat)
    for axes in panels:
        axes.set_axis_off()
    for axes, unit, values in zip(panels, unit_names, codes.T, strict=False):
        axes.set_axis_on()
        reach = max(3.5, float(values.abs().quantile(0.999)))
        axes.hist(values.numpy(), bins=60, range=(-reach, reach), density=True, color="C0", alpha=0.7)
        at = torch.linspace(-reach, reach, 200)
        axes.plot(at.numpy(), (torch.exp(-at.square() / 2) / (2 * torch.pi) ** 0.5).numpy(), "k", linewidth=1)
        axes.set_title(f"unit {unit}", fontsize=9)
        axes.set_yticks([])
    figure.suptitle("codes of the test images (bars) and the prior (line), liveliest units", fontsize=10)
    return figure


def diagnosis(
    kl_per_unit: Float[Tensor, " units"],
    variances: Float[Tensor, " units"],
    read: Float[Tensor, " units"],
    threshold: float,
    residual: Float[Tensor, " directions"],
    critical_weights: Float[Tensor, " _"] | None,
    kl_weight: float,
) -> Figure:
    """Draw each unit's KL, what it writes and what the decoder reads, and what the data have beside what the model
    leaves of it."""
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    bars, active, spectrum = figure.subplots(1, 3)
    places = np.arange(1, len(kl_per_unit) + 1)
    order = kl_per_unit.argsort(descending=True)
    bars.bar(places, kl_per_unit[order].numpy(), color="C0")
    bars.set(xlabel="unit, by KL", ylabel="KL [nats/row]", title="KL per unit")
    written, by_decoder = (each[order].double().clamp_min(1e-8).numpy() for each in (variances, read))
    active.semilogy(places, written, "o", color="C1", ms=4, label="written: variance of the mean")
    active.semilogy(places, by_decoder, "x", color="C2", ms=5, label="read by the decoder [nats/row]")
    active.axhline(threshold, color="black", linestyle="--", linewidth=1)
    active.set(xlabel="unit, by KL", title="which units live")
    active.legend(fontsize=8)
    for axis in (bars.xaxis, active.xaxis):
        axis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    _spectra(spectrum, residual, critical_weights, kl_weight)
    return figure


def _spectra(
    axes: Axes,
    residual: Float[Tensor, " directions"],
    critical_weights: Float[Tensor, " _"] | None,
    kl_weight: float | None,
) -> None:
    places = np.arange(1, len(residual) + 1)
    if critical_weights is not None:
        of_data = np.arange(1, len(critical_weights) + 1)
        axes.semilogy(of_data, critical_weights.clamp_min(1e-12).numpy(), "o-", ms=3, label="the data (forecast)")
    axes.semilogy(places, residual.clamp_min(1e-12).numpy(), "s-", ms=3, label="what the model leaves")
    if kl_weight:
        axes.axhline(kl_weight, color="black", linestyle="--", linewidth=1, label=f"KL weight {kl_weight:.4g}")
    axes.set(xlabel="direction", ylabel="KL weight at which it would pay", title="what another unit could earn")
    axes.legend()
