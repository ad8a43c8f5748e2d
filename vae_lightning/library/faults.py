"""What is wrong with a model, its rows or its loss before any word about units: then the rest would mislead."""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Bool
from torch import Tensor

from vae_lightning.diagnostics.implied_weight import kl_weight_by_means
from vae_lightning.diagnostics.verdicts import MATTERS
from vae_lightning.errors import UserError
from vae_lightning.estimates import N_ERRORS, Mean
from vae_lightning.library.diagnosis import Diagnosis
from vae_lightning.library.measuring import Measured

APART = 2.0
"""Times by which two weights must differ to be called different."""
MOST_UNSURE = 0.5
"""Relatively: a ratio that is less sure is near too many numbers to say which is its cause."""
FAR = 5.0
"""Times from 1 that a ratio of numbers must be to be called a cause: nearer ones are met by chance."""
FAR_WORSE = 0.25
"""Of what a code could gain at most: reconstructions that lose so much are of other rows than these."""
BATCHES = (24, 4096)
"""Sizes of a batch."""


@torch.no_grad()
def fault_of(found: Measured, written: Bool[Tensor, " units"], falling: Mean | None) -> str | None:
    """Return what makes every number of the model doubtful, in a sentence; None where nothing is seen."""
    if bool((found.posterior.log_squared_scale > 0).all()) and bool(written.any()):
        told = "no log variance is below 0, though units tell of their rows"
        return f"{told}: does encode give a variance or a standard deviation in the place of its logarithm?"
    still_learns = falling is not None and falling.surely_above(MATTERS)
    if bool((unused := written & (found.read == 0)).any()):  # exactly: its outputs are the same numbers
        units = unused.nonzero().flatten().tolist()
        named = f"unit{'' if len(units) == 1 else 's'} {', '.join(map(str, units))}"
        told = f"decode's answer does not depend on what encode writes into {named}"
        return f"{told}: does decode use the whole code (a slice, a mask, a wrong width)?"
    constant, best = _of_best_constant(found), found.readout.likelihood.greatest_log_prob(found.rows.pixels)
    if constant is None or best is None or still_learns:
        return None
    more, at_stake = Mean.of(found.distortion.double() - constant), float((constant + best.double()).mean())
    if not more.surely_above(max(MATTERS, FAR_WORSE * at_stake)):
        return None
    told = f"the reconstructions are {more.value:.3g} nats worse than one constant answer to every row"
    asked = "is x scaled as in the training, are mean and log variance in this order, is the model trained"
    return f"{told}: {asked}?"


def _of_best_constant(found: Measured) -> Tensor | None:
    """Return the distortion of each row by the mean of all rows; None where means do not tell the likelihood's
    values."""
    pixels, likelihood = found.rows.pixels, found.readout.likelihood
    values = likelihood.values_of_mean(pixels.mean(0, keepdim=True, dtype=torch.float64).float())
    return None if values is None else -likelihood.log_prob(pixels, values.expand_as(pixels)).double()


def causes_of(diagnosis: Diagnosis) -> tuple[str, ...]:
    """Return what is to be mended first, in sentences."""
    if diagnosis.evidence.cause:
        return (diagnosis.evidence.cause,)
    return (*_other_weight(diagnosis), *_averaged(diagnosis), *diagnosis.found.rows.faults)


def _other_weight(diagnosis: Diagnosis) -> Iterator[str]:
    """Say that the model was trained at another weight than the one that is named."""
    try:
        implied = diagnosis.implied_kl_weight
    except UserError:
        return
    least, most = implied.value - N_ERRORS * implied.error, implied.value + N_ERRORS * implied.error
    by_means = None if diagnosis.found.balance is None else kl_weight_by_means(diagnosis.found.balance)
    named = diagnosis.kl_weight
    if any(low <= APART * named and high >= named / APART for low, high in [(least, most), *_range(by_means)]):
        return
    told = f"the model is as one trained at a kl_weight of {implied.value:.3g} ± {implied.error:.2g}"
    if diagnosis.loss is not None and not math.isclose(diagnosis.loss.factor, 1):
        told += f" ({diagnosis.loss.weight_for(implied.value):.3g} in your loss)"
    ratio = Mean(implied.value / diagnosis.kl_weight, implied.error / diagnosis.kl_weight)
    yield f"{told}, not {diagnosis.kl_weight:.3g}: {_times(ratio.value)}, {_reason(diagnosis, ratio)}"


def _times(ratio: float) -> str:
    return f"{ratio:,.0f} times" if ratio >= 100 else f"{ratio:.3g} times"


def _range(weight: Mean | None) -> list[tuple[float, float]]:
    """Return from where to where a weight may be."""
    return [] if weight is None or weight.value <= 0 else [(weight.value, weight.value)]


def _reason(diagnosis: Diagnosis, ratio: Mean) -> str:
    """Name what would multiply the weight so: a coefficient of 1, or a mean in the place of a sum."""
    n_values, n_units = math.prod(diagnosis.found.rows.values.shape[1:]), diagnosis.found.kl.shape[1]
    typed = diagnosis.kl_weight if diagnosis.loss is None else diagnosis.kl_weight / diagnosis.loss.factor
    known = {
        1 / typed: f"as where the coefficient {typed:.3g} is not applied",
        float(n_values): f"as with the error averaged over the {n_values:,} values",
        1 / n_values: f"as with the error summed over the {n_values:,} values, where it is said to be averaged",
        1 / n_units: f"as with the KL averaged over the {n_units:,} units",
        n_values / n_units: f"as with the error averaged over {n_values:,} values and the KL over {n_units:,} units",
    }
    within = min(MOST_UNSURE, N_ERRORS * ratio.error / ratio.value)
    near = [
        reason
        for number, reason in known.items()
        if max(number, 1 / number) > FAR and abs(math.log(ratio.value / number)) < math.log1p(within)
    ]
    if near:
        return f"{', or '.join(near)}; another coefficient near that would look the same"
    size, of_batch = max(ratio.value, 1 / ratio.value), ""
    if BATCHES[0] <= size <= BATCHES[1]:
        one, other = ("error", "KL") if ratio.value < 1 else ("KL", "error")
        of_batch = f" (as the {one} summed over batches of {size:.0f} rows, and the {other} averaged)"
    told = "is the coefficient another one, is a schedule at work, is a mean taken where a sum is meant"
    return f"{told}{of_batch}, is x scaled as in the training, is the likelihood another?"


def _averaged(diagnosis: Diagnosis) -> Iterator[str]:
    """Say that nothing lives where something could, as of a loss that is averaged where it is said to be summed."""
    forecast = diagnosis.data_forecast
    if isinstance(forecast, str) or diagnosis.evidence.blind or diagnosis.living_units or not forecast.active_units:
        return
    if diagnosis.loss is not None and diagnosis.loss.loss.reconstruction.endswith("_mean"):
        return  # that it is averaged is told already
    n_values = math.prod(diagnosis.found.rows.values.shape[1:])
    averaged = diagnosis.kl_weight * n_values
    if forecast.found.active_units(averaged) == 0:
        first = float(forecast.critical_kl_weights[0])
        yield (
            f"nothing lives, as at a kl_weight above {first:.3g}: an error averaged over the {n_values:,} values of a "
            f"row makes it {averaged:,.4g}, a KL summed over the batch as many times larger as a batch has rows; say "
            "what your code minimises by loss=vl.from_loss(...)"
        )
