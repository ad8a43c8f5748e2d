"""Forecast and diagnosis in words, as ``print`` shows them."""

import math
import textwrap

import numpy as np

from vae_lightning.errors import UserError
from vae_lightning.estimates import Mean
from vae_lightning.library.data_forecast import DataForecast
from vae_lightning.library.diagnosis import Diagnosis
from vae_lightning.theory import lives

N_LISTED = 10
WIDTH = 22
LINE = 80
"""What a page or a notebook shows without scrolling."""


def forecast_lines(forecast: DataForecast) -> list[str]:
    """Return what a forecast says: what the loss means, what lives at each weight, and the first directions."""
    n, *shape = forecast.shape
    yielded = [f"forecast: {n:,} rows of {'x'.join(map(str, shape))}, {forecast.latent_dim} units"]
    if forecast.loss is not None:
        yielded.append(_row("your loss", str(forecast.loss)))
    weights = np.atleast_1d(forecast.kl_weight).tolist()
    living = np.atleast_1d(forecast.active_units).tolist()
    ceilings = _ceilings(forecast, len(weights))
    for weight, units, ceiling in zip(weights, living, ceilings, strict=True):
        told = f"{units} of {forecast.latent_dim} units live{_on_new_data(forecast, weight)}; {ceiling}"
        yielded.append(_row(f"at kl_weight {weight:.4g}", told))
    yielded.append(_row("units live below", _first_weights(forecast)))
    if forecast.loss is not None and not math.isclose(forecast.loss.factor, 1):
        yielded.append(_row("in your loss below w", _first_weights(forecast, 1 / forecast.loss.factor)))
    yielded += [_row("note", note) for note in forecast.notes]
    if forecast.found.unpriced:
        told = f"{forecast.found.unpriced} changes of values would pay at any weight to second order: left out"
        yielded.append(_row("undecided", told))
    return yielded


def _ceilings(forecast: DataForecast, n: int) -> list[str]:
    try:
        return [f"KL at most {ceiling:.3g} nats" for ceiling in np.atleast_1d(forecast.kl_ceiling).tolist()]
    except UserError:
        return ["nothing bounds the KL of this likelihood"] * n


def _on_new_data(forecast: DataForecast, weight: float) -> str:
    units = forecast.found.units_on_new_data(weight)
    if units is None:
        return ""
    surely, perhaps = units
    return f" ({surely} on new data)" if surely == perhaps else f" ({surely} to {perhaps} on new data)"


def _first_weights(forecast: DataForecast, per_nat: float = 1.0) -> str:
    critical = per_nat * forecast.critical_kl_weights[: forecast.latent_dim]
    told = [f"{each:.3g}" for each in critical[:N_LISTED]]
    return ", ".join(told) + (", …" if len(critical) > N_LISTED else "")


def _row(name: str, told: str) -> str:
    first, *more = textwrap.wrap(told, LINE - WIDTH - 2, break_long_words=False, break_on_hyphens=False) or [""]
    return "\n".join([f"  {name:<{WIDTH}}{first}", *(" " * (WIDTH + 2) + line for line in more)])


def diagnosis_lines(diagnosis: Diagnosis) -> list[str]:
    """Return the verdict, what is wrong and what to do, and the numbers."""
    n_units, information = len(diagnosis.kl_per_unit), diagnosis.mutual_information
    marginal = diagnosis.marginal_kl
    rows = [
        ("kl_weight", f"{diagnosis.kl_weight:.4g}{_implied(diagnosis)}"),
        ("ELBO", f"{_told(diagnosis.elbo)} nats"),
        ("distortion, KL", f"{_told(diagnosis.distortion)} and {_told(diagnosis.kl)} nats"),
        ("units", f"{diagnosis.living_units} of {n_units} live, {diagnosis.active_units} active, in "
                  f"{diagnosis.active_directions} directions{_forecast(diagnosis)}"),
        ("KL per unit", _units(diagnosis)),
        ("mutual information", f"{information.lower:.3g} to {information.upper:.3g} nats (of a code about its row)"),
        ("codes to prior", f"{marginal[0]:.3g} to {marginal[1]:.3g} nats, "
                           f"{diagnosis.idle_nats.value:.3g} of them by mean and covariance"),
        ("one more unit", f"{diagnosis.margin:.3g} ± {diagnosis.margin_error:.2g} times its price"),
    ]  # fmt: skip
    rows += [("note", note) for note in diagnosis.notes]
    if diagnosis.evidence.cause:
        rows.insert(0, ("the numbers", "are of what was given, before that is mended"))
    first = [cause for cause in diagnosis.causes if cause != diagnosis.evidence.cause]  # the sentence has that one
    return [
        *(line for cause in first for line in _wrapped(f"first: {cause}", "  ")),
        *_wrapped(f"as it is told: {diagnosis.sentence}" if first else diagnosis.sentence, "  "),
        *(line for sentence in diagnosis.advice for line in _wrapped(f"-> {sentence}", "   ")),
        *(_row(name, told) for name, told in rows),
    ]


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, LINE, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _implied(diagnosis: Diagnosis) -> str:
    if diagnosis.evidence.cause:
        return ""
    try:
        implied = diagnosis.implied_kl_weight
    except UserError as error:
        return f"; the model's own balance tells none ({str(error).partition(': ')[2]})"
    return f"; the model's own balance is of {implied.value:.3g} ± {implied.error:.2g}"


def _forecast(diagnosis: Diagnosis) -> str:
    if isinstance(diagnosis.data_forecast, str):
        return ""
    critical = diagnosis.data_forecast.critical_kl_weights.tolist()
    n = sum(lives(weight, diagnosis.kl_weight) for weight in critical[: diagnosis.data_forecast.latent_dim])
    of_all = f" of {diagnosis.data_forecast.latent_dim} numbers of the code" if diagnosis.found.n_positions > 1 else ""
    return f"; the forecast lets {n}{of_all} live"


def _units(diagnosis: Diagnosis) -> str:
    kl = np.sort(diagnosis.kl_per_unit)[::-1]
    return ", ".join(f"{each:.3g}" for each in kl[:N_LISTED]) + (", …" if len(kl) > N_LISTED else " nats")


def _told(mean: Mean) -> str:
    return f"{mean.value:.5g} ± {mean.error:.2g}"
