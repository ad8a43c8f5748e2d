"""What a run says in words: its forecast before it starts, and what it found when it is finished."""

import math
from pathlib import Path

from rich.console import Console

from vae_lightning.runs.results import NONE, Results, View
from vae_lightning.terminal import framed_list, plain_table, print_line
from vae_lightning.theory import Forecast, NoForecast

N_SHOWN = 6
N_UNITS = 12


def forecast_text(found: Forecast | NoForecast, kl_weight: float | None, why_units_live: str | None = None) -> str:
    """Return one sentence: how many units live at this KL weight, and which weights decide it.

    ``kl_weight`` is the one in force at the end, None where a controller will decide it; ``why_units_live`` says why
    the loss or the posterior lets units live whatever it is: the numbers are then of a plain VAE.
    """
    if isinstance(found, NoForecast):
        return f"none: {found.reason}"
    weights = ", ".join(weight_text(weight) for weight in found.critical_weights[:N_SHOWN].tolist())
    first = f"the data let the first units live below kl_weight {weights}, …"
    if found.critical_weights.isinf().any():
        first += "; at ∞ the decoder reads them at any weight, and their KL may be 0 all the same"
    if found.unpriced:
        first += f"; undecided: {found.unpriced} changes of pixels' values would pay at any weight to second order"
    if why_units_live:
        first = f"{why_units_live}; of a plain VAE {first}"
    if kl_weight is None:
        return f"{first}; a controller will decide the weight"
    if why_units_live:
        return first
    on_new_data = units_on_new_data_text(found, kl_weight)
    living = f"{found.active_units(kl_weight)} of {found.latent_dim} units live at kl_weight {kl_weight:.4g}"
    return f"{living}{f' ({on_new_data} on new data)' if on_new_data else ''}; {first}"


def weight_text(weight: float, style: str = ".3g") -> str:
    """Return a critical KL weight as text: there is none where a direction lives at any weight."""
    return "∞" if weight == math.inf else format(weight, style)


def units_on_new_data_text(found: Forecast, kl_weight: float) -> str:
    """Return how many units live by what holds on new data, and how many are undecided; nothing where it is untold."""
    if (units := found.units_on_new_data(kl_weight)) is None:
        return ""
    surely, perhaps = units
    return f"{surely}" if perhaps == surely else f"{surely}, {perhaps - surely} undecided"


def ceiling_text(found: Forecast | NoForecast, price: float | None, least: float = 0.0) -> str:
    """Return what the KL cannot exceed, or why nothing bounds it; ``least`` is the KL that is there in any case."""
    if price is None:
        return "none: no fixed price for each nat"
    gain = None if isinstance(found, NoForecast) else found.greatest_gain
    if gain is None:
        return "none: nothing bounds this likelihood"
    error = f" ± {gain.error / price:.2g}" if gain.error else ""
    return f"{gain.value / price + least:.3g}{error} nats: what a code could gain, {gain.value:.4g}, over its price"


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
