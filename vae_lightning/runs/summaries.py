"""What a run says in words: its forecast before it starts, and what it found when it is finished."""

from pathlib import Path

from rich.console import Console

from vae_lightning.runs.results import NONE, Results, View
from vae_lightning.terminal import framed_list, plain_table, print_line
from vae_lightning.theory import Forecast

N_SHOWN = 6
N_UNITS = 12
NO_FORECAST = "the likelihood is no exponential family of its decoder's values"


def forecast_text(forecast: Forecast | None, kl_weight: float | None, plain: bool = True) -> str:
    """Return one sentence: how many units a plain VAE keeps at this KL weight, and which weights decide it.

    ``kl_weight`` is the one in force at the end, None where a controller will decide it; ``plain`` says whether the run
    is of the model that the forecast is of.
    """
    if forecast is None:
        return f"none: {NO_FORECAST}"
    weights = ", ".join(f"{weight:.3g}" for weight in forecast.critical_weights[:N_SHOWN].tolist())
    first = f"the data let the first units live below kl_weight {weights}, …"
    if kl_weight is None:
        return f"{first}; a controller will decide the weight"
    whose = "" if plain else "of a plain VAE "
    living = forecast.active_units(kl_weight)
    return f"{whose}{living} of {forecast.latent_dim} units live at kl_weight {kl_weight:.4g}; {first}"


def print_results(console: Console, results: Results, directory: Path) -> None:
    """Print what a finished run found, and where to look."""
    console.print(framed_list("finished", _rows(results, View.SUMMARY)))
    print_line(console, f"figures/ and results.json in {directory}")


def print_evaluation(console: Console, results: Results) -> None:
    """Print what an evaluation found, and a table of the liveliest units."""
    console.print(framed_list("test images, nats per image", _rows(results, View.EVALUATION)))
    columns = [column for column in results.columns(View.EVALUATION) if column.per_unit and column.value(results)]
    if not columns:
        return
    table = plain_table()
    for label in ("unit", *(column.label for column in columns)):
        table.add_column(label, justify="right")
    # Of a point posterior there are no KLs to sort by.
    ranks = (results.kl_per_unit if results.has_density else results.variance_of_mean) or [0.0] * results.latent_dim
    order = sorted(range(len(ranks)), key=ranks.__getitem__, reverse=True)
    for unit in order[:N_UNITS]:
        table.add_row(str(unit), *(column.formatted(column.value(results)[unit]) for column in columns))
    if len(order) > N_UNITS:
        table.caption = f"the liveliest {N_UNITS} of {len(order)}"
    console.print(table)


def _rows(results: Results, view: View) -> list[tuple[str, str]]:
    """Return names and values of a view, those that are not there left out, and what could not be had."""
    rows = []
    for column in results.columns(view):
        text = column.text(results)
        if not column.per_unit and text not in {"", NONE}:
            unit = f" {column.unit}" if column.unit else ""
            rows.append((column.label, f"{text}{unit}{f' ({column.meaning})' if column.meaning else ''}"))
    return rows + [("note", caveat) for caveat in results.caveats or ()]
