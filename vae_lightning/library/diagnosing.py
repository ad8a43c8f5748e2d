"""Did anyone's VAE collapse, does that harm, and what is wrong: two functions and the data."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vae_lightning.diagnostics import MORE_REGIONS, Evidence, evidence, still_falling, verdict
from vae_lightning.diagnostics.active_units import THRESHOLD
from vae_lightning.diagnostics.causes import SHOWN, wrong_cause
from vae_lightning.distributions import GaussianLikelihood, Likelihood
from vae_lightning.distributions.gaussian import Mean as Squash
from vae_lightning.errors import Code, UserError
from vae_lightning.estimates import Mean
from vae_lightning.library.advice import advice_on
from vae_lightning.library.arguments import given, whole_number
from vae_lightning.library.data_forecast import DataForecast
from vae_lightning.library.diagnosis import Diagnosis
from vae_lightning.library.faults import causes_of, fault_of
from vae_lightning.library.forecasts import foretold
from vae_lightning.library.likelihoods import DecoderGives, Readout, tells_means
from vae_lightning.library.measuring import Measured, measured
from vae_lightning.library.models import Decode, Encode, at_rest
from vae_lightning.library.rows import Rows, rows_of, spread
from vae_lightning.library.undisturbed import undisturbed
from vae_lightning.theory.conventions import Loss, LossInNats, checked_weights

MOST_ROWS = 10_000
MOST_NUMBERS = 30_000_000
"""Of all rows together, and of all their codes: bounds the memory to some 2 GB."""
FEWEST_ROWS = 100


def diagnose(
    encode: Encode,
    decode: Decode,
    x: Any = None,
    likelihood: str | Likelihood | None = None,
    kl_weight: float | None = None,
    *,
    loss: Loss | None = None,
    decoder_gives: DecoderGives | None = None,
    loss_curve: Sequence[float] | None = None,
    seed: int = 0,
) -> Diagnosis:
    """Return whether a VAE has collapsed, whether that harms, and what is wrong with it: any model, its own data.

    Up to 10,000 rows are looked at. Neither the model nor torch's random numbers are changed.

    Args:
        encode: rows to their posterior: (mean, log_variance), a Normal or Laplace of ``torch.distributions``, or an
            output that has mean and log variance under a usual name. :func:`encode_decode` has both of a model.
        decode: codes to what ``decoder_gives`` says, in the shape of the rows.
        x: rows that the training has not seen, as the loss sees them: an array, a tensor, a Dataset, a DataLoader.
        likelihood: a name, as ``"bernoulli"``, or :func:`likelihood` with settings. Not with ``loss``.
        kl_weight: in nats, above 0: what multiplies the KL where the reconstruction is -log p(x|z). None: 1.
        loss: the loss as your code writes it, by :func:`from_loss`: it is likelihood and KL weight at once.
        decoder_gives: ``"means"``, ``"logits"`` (their sigmoids are the means) or ``"parameters"`` (the likelihood's
            own). None: means, where these tell all that the likelihood needs; else parameters.
        loss_curve: the training loss over equal stretches at its final KL weight: tells whether it still falls.
        seed: of the codes that are drawn.

    Raises:
        UserError: an argument is wrong, the functions give what cannot be read, or the model is not in evaluation mode.

    Example:
        >>> import torch, vae_lightning as vl
        >>> x = torch.randn(4000, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([3., 2, 1, 1, 1, 1])
        >>> encode = lambda x: (torch.zeros(len(x), 2), torch.zeros(len(x), 2))  # it looks at nothing
        >>> decode = lambda z: torch.zeros(len(z), 6)
        >>> d = vl.diagnose(encode, decode, x, vl.likelihood("gaussian", variance=1.0), 1.0, decoder_gives="means")
        >>> d.verdict, d.active_units, round(d.margin)
        ('collapsed', 0, 9)
    """
    if x is None:
        message = "x: missing; call it as vl.diagnose(*vl.encode_decode(model), x, ...), or with two functions and x"
        raise UserError(message, Code.MISSING, ["x"])
    for name, function in (("encode", encode), ("decode", decode)):
        if not callable(function):
            what = f"{name}: a {type(function).__name__}; must be a function"
            message = f"{what}; call it as vl.diagnose(*vl.encode_decode(model), x, ...)"
            raise UserError(message, Code.INVALID, [name])
    wanted = given(likelihood, kl_weight, loss, decoder_gives or "means")
    readout = Readout.of(wanted, decoder_gives or ("means" if tells_means(wanted) else "parameters"))
    seed = whole_number("seed", seed, least=0)
    weight = _one_weight(kl_weight, loss)
    rows = rows_of(x, MOST_ROWS, bytes_are_counts=readout.likelihood.needs_counts)
    with at_rest(encode, decode) as model, undisturbed(device=model.device):
        n_latents = model.encoded(rows.some(2)).mean[0].numel()
        rows = _affordable(rows, n_latents)
        found = measured(model, rows, readout, seed)
        if readout.likelihood.least_variance is not None:
            found = measured(model, rows, _with_measured_variance(found), seed)
    read = None if loss is None else loss.in_nats(rows.values[0].numel(), n_latents)
    weight = weight if read is None else float(read.kl_weight)
    nats = 1.0 if read is None else read.nats
    falling = None if loss_curve is None else still_falling([value * nats for value in _finite(loss_curve)])
    basis = _evidence(found, weight, falling)
    forecast = _forecast(found, weight, read, n_latents)
    diagnosis = Diagnosis(weight, read, found, verdict(basis), basis, (*rows.notes, *found.notes), forecast)
    diagnosis = replace(diagnosis, causes=causes_of(diagnosis))
    return replace(diagnosis, advice=advice_on(diagnosis))


def _finite(loss_curve: Sequence[float]) -> Sequence[float]:
    if bad := [value for value in loss_curve if not math.isfinite(value)]:
        raise UserError(f"loss_curve: {len(bad)} of its values are not finite", Code.NOT_FINITE, ["loss_curve"])
    return loss_curve


def _one_weight(kl_weight: float | None, loss: Loss | None) -> float:
    """Return the weight as it was given. Raises UserError unless it is one number above 0."""
    name = "kl_weight" if loss is None else "weight"
    typed = 1.0 if kl_weight is None else kl_weight
    weight = checked_weights(typed if loss is None else loss.weight, name)
    if weight.ndim:
        raise UserError(f"{name}={weight.tolist()}: a diagnosis is at one KL weight", Code.INVALID, [name])
    if weight == 0:
        message = f"{name}=0: nothing is charged for a nat, so that no unit can be said to pay its way"
        raise UserError(message, Code.INVALID, [name])
    return float(weight)


def _affordable(rows: Rows, n_latents: int) -> Rows:
    """Return fewer rows where each has so many numbers that all would not fit."""
    n = len(rows.values)
    most = max(FEWEST_ROWS, MOST_NUMBERS // max(rows.values[0].numel(), n_latents))
    if n <= most:
        return rows
    return Rows(rows.values[spread(n, most)], (*rows.notes, f"{most:,} of them are looked at: they are large"))


def _with_measured_variance(found: Measured) -> Readout:
    """Return the Gaussian whose variance is the mean squared error: where a learned one is at its best."""
    likelihood = found.readout.likelihood
    least = likelihood.least_variance or 0.0
    squash: Squash = "sigmoid" if likelihood.means_in_unit_interval else "identity"
    return Readout(GaussianLikelihood(variance=max(found.mean_squared_error, least), mean=squash), found.readout.gives)


def _evidence(found: Measured, kl_weight: float, falling: Mean | None) -> Evidence:
    """Gather what the verdict is made of."""
    images, posterior = found.residuals.images, found.posterior
    variance = found.over_positions(posterior.mean.double().var(0, correction=0))
    shown, written = found.rows.pixels[:SHOWN], (variance > THRESHOLD).any(1)
    return evidence(
        found.residuals,
        posterior.mean[images],
        found.codes[images],
        found.over_positions(found.kl.double().mean(0)).sum(1),
        written=written,
        read=found.read > THRESHOLD * kl_weight,
        price=kl_weight,
        residual=found.residual,
        n_regions=MORE_REGIONS,
        falling=falling,
        cause=wrong_cause(found.readout.likelihood, shown, found.residuals) or fault_of(found, written, falling),
        n_positions=found.n_positions,
    )


def _forecast(found: Measured, kl_weight: float, loss: LossInNats | None, n_latents: int) -> DataForecast | str:
    """Return what the rows would let live, or why that cannot be told."""
    rows, likelihood = found.rows, found.readout.likelihood
    try:
        known = foretold(rows, likelihood, n_latents)
    except UserError as error:
        return str(error)
    shape = tuple(rows.values.shape)
    return DataForecast(np.asarray(kl_weight), n_latents, likelihood, known, shape, loss, ())
