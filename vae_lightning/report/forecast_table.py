"""A forecast as text, as results, and as the tables of `vae-forecast`."""

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vae_lightning.report.tables import facts
from vae_lightning.theory import Convention, Forecast, lives

N_SHOWN = 6
N_LISTED = 12
N_KEPT = 50
"""Critical weights kept in the results, if there are not more units."""
NONE = "none: the likelihood is no exponential family of its decoder's values"


def forecast_text(forecast: Forecast | None, kl_weight: float | None, plain: bool = True) -> str:
    """Return one sentence: how many units a plain VAE keeps at this KL weight, and which weights decide it.

    ``kl_weight`` is the one in force at the end, None where a controller will decide it; ``plain`` says whether the run
    is of the model that the forecast is of.
    """
    if forecast is None:
        return NONE
    weights = ", ".join(f"{weight:.3g}" for weight in forecast.critical_weights[:N_SHOWN].tolist())
    first = f"the data let the first units live below kl_weight {weights}, …"
    if kl_weight is None:
        return f"{first}; a controller will decide the weight"
    whose = "" if plain else "of a plain VAE "
    living = forecast.active_units(kl_weight)
    return f"{whose}{living} of {forecast.latent_dim} units live at kl_weight {kl_weight:.4g}; {first}"


def forecast_results(forecast: Forecast | None, kl_weight: float) -> dict[str, Any]:
    """Return the forecast under the names of ``results.json``; null where there is none."""
    kl = forecast.kl_per_unit(kl_weight) if forecast else None
    n_kept = max(N_KEPT, forecast.latent_dim) if forecast else 0
    return {
        "forecast/active_units": forecast.active_units(kl_weight) if forecast else None,
        "forecast/critical_weights": forecast.critical_weights[:n_kept].tolist() if forecast else None,
        "forecast/kl_per_unit": None if kl is None else kl.tolist(),
    }


def forecast_page(
    title: str, forecast: Forecast, kl_weight: float, conventions: Sequence[Convention], rows: Sequence[tuple[str, str]]
) -> RenderableType:
    """Return what `vae-forecast` prints for one KL weight."""
    kl = forecast.kl_per_unit(kl_weight)
    expected = "without bound: nothing is charged for it" if kl_weight == 0 else "told for a Gaussian decoder only"
    if kl is not None:
        expected = f"{float(kl.sum()):.2f} nats, if the model is linear"
    variance = forecast.variance_at(kl_weight)
    critical = [] if variance is None else [("kl_weight·σ²", f"{kl_weight * variance:.4g} (σ² {variance:.4g})")]
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("unit", justify="right")
    table.add_column("lives below kl_weight", justify="right")
    table.add_column("here", no_wrap=True)
    table.add_column("KL if linear", justify="right")
    for unit, weight in enumerate(forecast.critical_weights[: min(N_LISTED, forecast.latent_dim)].tolist()):
        alive = Text("lives", "green") if lives(weight, kl_weight) else Text("dies", "red")
        table.add_row(str(unit + 1), f"{weight:.4g}", alive, "–" if kl is None else f"{float(kl[unit]):.3f}")
    elsewhere = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    elsewhere.add_column("the same training elsewhere: loss")
    elsewhere.add_column("w", justify="right")
    for convention in conventions:
        elsewhere.add_row(convention.loss, f"{convention.weight:.4g}")
    summary = facts(
        title,
        [
            *rows,
            ("kl_weight", f"{kl_weight:g}"),
            *critical,
            ("units that live", f"{forecast.active_units(kl_weight)} of {forecast.latent_dim}"),
            ("expected KL", expected),
        ],
    )
    return Group(summary, table, elsewhere)


def forecast_curve_table(forecast: Forecast, kl_weights: Sequence[float]) -> RenderableType:
    """Return how many units live at each of several KL weights, with bars."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("kl_weight", justify="right")
    table.add_column("units that live", justify="right")
    table.add_column("KL if linear", justify="right")
    table.add_column("")
    for kl_weight in kl_weights:
        kl = forecast.kl_per_unit(kl_weight)
        living = forecast.active_units(kl_weight)
        bar = "█" * round(30 * living / forecast.latent_dim)
        table.add_row(
            f"{kl_weight:.4g}", str(living), "–" if kl is None else f"{float(kl.sum()):.2f}", Text(bar, "green")
        )
    return table
