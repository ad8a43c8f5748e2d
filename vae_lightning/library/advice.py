"""What the numbers of a diagnosis mean, and what to do: sentences."""

import math
from collections.abc import Iterator

from vae_lightning.diagnostics.verdicts import MATTERS
from vae_lightning.errors import UserError
from vae_lightning.library.data_forecast import DataForecast
from vae_lightning.library.diagnosis import Diagnosis

APART = 2.0
"""Times as large as it looks that a weight must be to be told of."""
RIGHTLY = ("healthy", "pruned")
"""Verdicts under which no more units need live."""
BLURRED = 4.0
"""Times as large as the mean squared error the variance must be of which the loss is the ELBO."""
FAR_FROM_PRIOR = 5.0
"""Nats between codes and prior, by mean and covariance, from which samples of the prior are hardly codes that the
decoder knows."""
LOW_CEILING = 1.0
"""Nats: a KL that cannot exceed it hardly tells anything."""


def advice_on(diagnosis: Diagnosis) -> tuple[str, ...]:
    """Return the sentences, the most important first; where something is to be mended before, what stays true."""
    scale, onset = [*_scale_of_loss(diagnosis)], [*_above_the_onset(diagnosis)]
    if diagnosis.evidence.cause or diagnosis.causes:
        return tuple(scale)
    rest = [*_far_from_the_prior(diagnosis), *_other_variance(diagnosis)]
    return tuple([*scale, *onset, *rest] if onset else [*rest, *scale])


def _scale_of_loss(diagnosis: Diagnosis) -> Iterator[str]:
    """Say how many times the weight is as large as it looks."""
    loss = diagnosis.loss
    if loss is None or 1 / APART < loss.factor < APART:
        return
    times = f"{loss.factor:.4g} times as large as" if loss.factor > 1 else f"1/{1 / loss.factor:.4g} of what"
    yield f"the weight in your loss is {times} it looks: {loss}"


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
            f"the first direction of these rows lives below {_told(forecast, first)}"
        )
    elif diagnosis.verdict not in RIGHTLY:
        n = int(forecast.active_units)
        yield f"these rows let {n} of {forecast.latent_dim} directions live at a kl_weight of {weight:.4g}"
    last = float(critical[min(forecast.latent_dim, len(critical)) - 1])
    if last > 0 and last < weight:
        yield f"all {forecast.latent_dim} could live below {_told(forecast, last)}"
    try:
        ceiling = float(forecast.kl_ceiling)
    except UserError:
        return
    if ceiling < LOW_CEILING:
        yield f"whatever the networks are, the KL at an optimum is at most {ceiling:.3g} nats at this weight"


def _told(forecast: DataForecast, weight: float) -> str:
    """Return a KL weight, and what it is in the loss as the user writes it."""
    if forecast.loss is None or math.isclose(forecast.loss.factor, 1):
        return f"{weight:.4g}"
    return f"{weight:.4g} (w = {forecast.loss.weight_for(weight):.3g} in your loss)"


def _far_from_the_prior(diagnosis: Diagnosis) -> Iterator[str]:
    """Say that codes are not where samples are drawn, and how far the weight can be raised."""
    idle, weight = diagnosis.idle_nats, diagnosis.kl_weight
    if not idle.surely_above(FAR_FROM_PRIOR) or not diagnosis.living_units or diagnosis.verdict == "undertrained":
        return
    told = f"codes lie {idle.value:.3g} nats from the prior, so that samples from it may decode to noise"
    if (cost := idle.value * weight) < MATTERS:
        told += f"; at this weight that costs the loss {cost:.2g} nats, too little for training to mend"
    forecast = diagnosis.data_forecast
    if weight < 1 and not isinstance(forecast, str) and forecast.latent_dim <= len(forecast.critical_kl_weights):
        last = min(1.0, float(forecast.critical_kl_weights[forecast.latent_dim - 1]))
        if last > weight:
            told += f"; all units could live up to a kl_weight of {_told(forecast, last)}: raise it towards that"
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
