"""A forecast as the tables of `vae-forecast`."""

import math
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from vae_lightning.runs.summaries import units_on_new_data_text, weight_text
from vae_lightning.terminal import framed_list, plain_table
from vae_lightning.theory import Convention, Forecast, lives

N_LISTED = 12


def forecast_page(
    title: str, forecast: Forecast, kl_weight: float, conventions: Sequence[Convention], rows: Sequence[tuple[str, str]]
) -> RenderableType:
    """Return what `vae-forecast` prints for one KL weight."""
    kl = forecast.kl_per_unit(kl_weight)
    expected = (
        "without bound: nothing is charged for it"
        if kl_weight == 0
        else "told for a plain ELBO with a Gaussian decoder only"
    )
    if kl is not None:
        expected = f"{float(kl.sum()):.2f} nats, if the model is linear"
    variance = forecast.variance_at(kl_weight)
    critical = [] if variance is None else [("kl_weight·σ²", f"{kl_weight * variance:.4g} (σ² {variance:.4g})")]
    table = plain_table()
    table.add_column("unit", justify="right")
    table.add_column("lives below kl_weight", justify="right")
    table.add_column("on new data", justify="right")
    table.add_column("here", no_wrap=True)
    table.add_column("KL if linear", justify="right")
    for unit, weight in enumerate(forecast.critical_weights[: min(N_LISTED, forecast.latent_dim)].tolist()):
        alive = Text("lives", "green") if lives(weight, kl_weight) else Text("dies", "red")
        held_out = _on_new_data(forecast, unit)
        table.add_row(
            str(unit + 1), weight_text(weight, ".4g"), held_out, alive, "–" if kl is None else f"{float(kl[unit]):.3f}"
        )
    elsewhere = plain_table()
    elsewhere.add_column("the same training elsewhere: loss")
    elsewhere.add_column("w", justify="right")
    for convention in conventions:
        elsewhere.add_row(convention.loss, f"{convention.weight:.4g}")
    summary = framed_list(
        title,
        [
            *rows,
            *critical,
            ("units that live", f"{forecast.active_units(kl_weight)} of {forecast.latent_dim}"),
            ("on new data", units_on_new_data_text(forecast, kl_weight) or "untold: too few images"),
            ("expected KL", expected),
        ],
    )
    return Group(summary, table, *([elsewhere] if conventions else []))


def _on_new_data(forecast: Forecast, unit: int) -> str:
    """Return what a direction is worth on images that did not choose it, with its standard error."""
    if forecast.held_out is None or unit >= len(forecast.held_out.values):
        return "–"
    value, error = (float(each[unit]) for each in forecast.held_out)
    return f"{value:.4g} ± {error:.2g}" if math.isfinite(value + error) else weight_text(value, ".4g")


def forecast_curve_table(
    forecast: Forecast, kl_weights: Sequence[float], ceilings: Sequence[float | None]
) -> RenderableType:
    """Return how many units live at each of several KL weights, with bars, and what the KL cannot exceed there."""
    table = plain_table()
    table.add_column("kl_weight", justify="right")
    table.add_column("units that live", justify="right")
    table.add_column("on new data", justify="right")
    table.add_column("KL if linear", justify="right")
    table.add_column("KL ceiling", justify="right")
    table.add_column("")
    for kl_weight, ceiling in zip(kl_weights, ceilings, strict=True):
        kl = forecast.kl_per_unit(kl_weight)
        living = forecast.active_units(kl_weight)
        bar = "█" * round(30 * living / forecast.latent_dim)
        table.add_row(
            f"{kl_weight:.4g}",
            str(living),
            units_on_new_data_text(forecast, kl_weight) or "–",
            "–" if kl is None else f"{float(kl.sum()):.2f}",
            "–" if ceiling is None else f"{ceiling:.3g}",
            Text(bar, "green"),
        )
    return table
