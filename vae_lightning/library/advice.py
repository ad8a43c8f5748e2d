"""What is wrong with a model, and what to do: sentences from a diagnosis, the most likely cause first."""

import math
from collections.abc import Iterator

from vae_lightning.diagnostics.verdicts import MATTERS
from vae_lightning.errors import UserError
from vae_lightning.estimates import N_ERRORS
from vae_lightning.library.diagnosis import Diagnosis
from vae_lightning.library.forecasts import DataForecast

APART = 2.0
"""Times by which two weights or variances must differ to be called different."""
NEAR = 0.15
"""Relatively: how near a ratio must be to a number for that to be called its cause."""
BLURRED = 4.0
"""Times as large as the mean squared error the variance must be of which the loss is the ELBO."""
FAR_FROM_PRIOR = 1.0
"""Nats between codes and prior from which samples of the prior are not codes that the decoder knows."""


def advice_on(diagnosis: Diagnosis) -> tuple[str, ...]:
    """Return the sentences."""
    parts = (_scale_of_loss, _other_weight, _averaged, _above_the_onset, _far_from_the_prior, _other_variance)
    return tuple(sentence for part in parts for sentence in part(diagnosis))


def _scale_of_loss(diagnosis: Diagnosis) -> Iterator[str]:
    """Say how many times the weight is as large as it looks."""
    loss = diagnosis.loss
    if loss is None or 1 / APART < loss.factor < APART:
        return
    times = f"{loss.factor:.4g} times as large as" if loss.factor > 1 else f"1/{1 / loss.factor:.4g} of what"
    yield f"the weight in your loss is {times} it looks: {loss}"


def _other_weight(diagnosis: Diagnosis) -> Iterator[str]:
    """Say that the model was trained at another weight than the one that is named."""
    try:
        implied = diagnosis.implied_kl_weight
    except UserError:
        return
    if not implied.value > 0:
        return
    ratio = implied.value / diagnosis.kl_weight
    least, most = implied.value - N_ERRORS * implied.error, implied.value + N_ERRORS * implied.error
    if least <= APART * diagnosis.kl_weight and most >= diagnosis.kl_weight / APART:
        return
    told = f"the model is as one trained at a kl_weight of {implied.value:.3g} ± {implied.error:.2g}"
    if diagnosis.loss is not None:
        told += f" ({diagnosis.loss.weight_for(implied.value):.3g} in your loss)"
    told += f", not {diagnosis.kl_weight:.3g}"
    yield f"{told}{_reason(diagnosis, ratio)}"


def _reason(diagnosis: Diagnosis, ratio: float) -> str:
    """Name what would multiply the weight so: a coefficient of 1, or a mean in the place of a sum."""
    n_values, n_units = math.prod(diagnosis.found.rows.values.shape[1:]), diagnosis.found.kl.shape[1]
    known = {
        n_values: f"the error averaged over the {n_values:,} values",
        1 / n_values: f"the KL averaged over {n_values:,}, or the error summed where it is said to be averaged",
        1 / n_units: f"the KL averaged over the {n_units:,} units",
        n_values / n_units: "error and KL both averaged",
    }
    for number, reason in known.items():
        if number != 1 and abs(ratio / number - 1) < NEAR:
            return f": {ratio:.3g} times, as with {reason}"
    written = diagnosis.kl_weight if diagnosis.loss is None else float(diagnosis.loss.kl_weight) / diagnosis.loss.factor
    if abs(ratio * written - 1) < NEAR:
        return f": {ratio:.3g} times, as where the coefficient {written:.3g} is not applied"
    return f": {ratio:.3g} times; is the coefficient applied, is a mean taken where a sum is meant, is a warm-up over?"


def _averaged(diagnosis: Diagnosis) -> Iterator[str]:
    """Say that nothing lives where something could, as of a loss that is averaged where it is said to be summed."""
    forecast = diagnosis.data_forecast
    if isinstance(forecast, str) or diagnosis.loss is not None or diagnosis.living_units or not forecast.active_units:
        return
    n_values = math.prod(diagnosis.found.rows.values.shape[1:])
    averaged = diagnosis.kl_weight * n_values
    if forecast.found.active_units(averaged) == 0:
        yield (
            f"nothing lives, as at a kl_weight of {averaged:.4g}: if your code averages the error over the "
            f"{n_values:,} values of a row, that is your weight; say what it minimises by loss=vl.from_loss(...)"
        )


def _above_the_onset(diagnosis: Diagnosis) -> Iterator[str]:
    """Say below which weight units live, where some do not, and that no weight so large lets much through."""
    forecast = diagnosis.data_forecast
    if isinstance(forecast, str) or diagnosis.living_units >= min(len(diagnosis.read_per_unit), forecast.latent_dim):
        return
    critical = forecast.critical_kl_weights
    first = float(critical[0])
    weight = diagnosis.kl_weight
    if weight >= first:
        yield (
            f"at a kl_weight of {weight:.4g} no small change of a collapsed model pays: "
            f"the first direction of these data lives below {_told(forecast, first)}"
        )
    else:
        n = int(forecast.active_units)
        yield f"these data let {n} of {forecast.latent_dim} directions live at a kl_weight of {weight:.4g}"
    last = float(critical[min(forecast.latent_dim, len(critical)) - 1])
    if last > 0 and last < weight:
        yield f"all {forecast.latent_dim} would live below {_told(forecast, last)}"
    try:
        ceiling = float(forecast.kl_ceiling)
    except UserError:
        return
    if ceiling < FAR_FROM_PRIOR:
        yield f"whatever the networks are, the KL at an optimum is at most {ceiling:.3g} nats at this weight"


def _told(forecast: DataForecast, weight: float) -> str:
    """Return a KL weight, and what it is in the loss as the user writes it."""
    if forecast.loss is None or math.isclose(forecast.loss.factor, 1):
        return f"{weight:.4g}"
    return f"{weight:.4g} (w = {forecast.loss.weight_for(weight):.3g} in your loss)"


def _far_from_the_prior(diagnosis: Diagnosis) -> Iterator[str]:
    """Say that codes are not where samples are drawn, and how far the weight can be raised."""
    idle = diagnosis.idle_nats
    if not idle.surely_above(FAR_FROM_PRIOR) or diagnosis.living_units == 0:
        return
    cost = idle.value * diagnosis.kl_weight
    told = f"codes lie {idle.value:.3g} nats from the prior, so that samples from it decode to noise"
    if cost < MATTERS:
        told += f"; at this weight that costs the loss {cost:.2g} nats, too little to be mended"
    forecast = diagnosis.data_forecast
    if not isinstance(forecast, str) and forecast.latent_dim <= len(forecast.critical_kl_weights):
        last = float(forecast.critical_kl_weights[forecast.latent_dim - 1])
        if last > diagnosis.kl_weight:
            told += (
                f"; all units of these data live up to a kl_weight of {_told(forecast, last)}: raise it towards that"
            )
    yield told


def _other_variance(diagnosis: Diagnosis) -> Iterator[str]:
    """Say that the loss is the ELBO of a decoder far less sure than its reconstructions are good."""
    likelihood = diagnosis.found.readout.likelihood
    if likelihood.variance is None or not likelihood.score_is_natural:
        return
    error = diagnosis.found.mean_squared_error
    as_elbo = diagnosis.kl_weight * likelihood.variance
    if as_elbo < BLURRED * error:
        return
    best = diagnosis.data_forecast if isinstance(diagnosis.data_forecast, DataForecast) else None
    weight = error / likelihood.variance
    told = f"{weight:.3g}" if best is None else _told(best, weight)
    yield (
        f"this loss is the ELBO of a Gaussian of variance {as_elbo:.3g}, and the mean squared error is {error:.3g}: "
        f"what costs more than it tells is blurred; the ELBO of a variance that fits is at a kl_weight of {told}"
    )
