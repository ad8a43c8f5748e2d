"""Arguments that several functions of the library take, checked in one place."""

import operator
from typing import Any

from vae_lightning.distributions import Likelihood
from vae_lightning.errors import Code, UserError
from vae_lightning.library.likelihoods import DecoderGives, as_likelihood
from vae_lightning.theory.conventions import Loss


def whole_number(name: str, value: Any, *, least: int) -> int:
    """Return a whole number, also one of numpy's. Raises UserError of anything else, or below the least."""
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or number < least:
        raise UserError(f"{name}={value!r}: must be a whole number from {least} on", Code.INVALID, [name])
    return number


def given(
    likelihood: str | Likelihood | None, kl_weight: object, loss: Loss | None, decoder_gives: DecoderGives = "means"
) -> Likelihood:
    """Return the likelihood that was given, by itself or as a loss. Raises UserError where none or both were."""
    if loss is None:
        if likelihood is None:
            message = "likelihood: missing; give its name, or loss=vl.from_loss(...), what your code minimises"
            raise UserError(message, Code.MISSING, ["likelihood"])
        return as_likelihood(likelihood, decoder_gives)
    if not isinstance(loss, Loss):
        raise UserError(f"loss={loss!r}: must be what vl.from_loss(...) returns", Code.INVALID, ["loss"])
    if likelihood is not None or kl_weight is not None:
        extra = "likelihood" if likelihood is not None else "kl_weight"
        raise UserError(f"{extra}: loss= is likelihood and KL weight at once", Code.INCOMPATIBLE, [extra, "loss"])
    return as_likelihood(loss.likelihood, decoder_gives)
