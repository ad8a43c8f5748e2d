"""A likelihood by its name, and how a foreign decoder's outputs are read as its values."""

import copy
import math
import pkgutil
from functools import cache
from typing import Any, Literal, NamedTuple, get_args, get_type_hints

import torch
import yaml
from jaxtyping import Float
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from vae_lightning.conf_folder import config_folder
from vae_lightning.distributions import Likelihood
from vae_lightning.errors import Code, UserError
from vae_lightning.estimates import Mean
from vae_lightning.spelling import did_you_mean

DecoderGives = Literal["means", "logits", "parameters"]
SQUASH = "mean"
"""The setting that says whether a decoder's values go through a sigmoid: here the caller says it of the decoder."""
CLEARLY = 1.0
"""Nats a row by which outputs must be likelier as something else."""
FAR_OUT = 0.5
"""Beyond [0, 1] by so much no reconstruction of values in it is, unless it is a logit."""
Values = Float[Tensor, "rows values 1 places"]
Places = Float[Tensor, "rows 1 1 places"]


def likelihood(name: str, **settings: Any) -> Likelihood:
    """Return a likelihood by its name, with the settings and defaults of ``vae-train likelihood=NAME``.

    Args:
        name: ``bernoulli``, ``gaussian``, ``poisson``, ``negative_binomial``, ... (``conf/likelihood/``).
        settings: as ``variance`` of ``gaussian``.

    Raises:
        UserError: there is no such likelihood or setting, or a value is out of its range.

    Example:
        >>> import vae_lightning as vl
        >>> vl.likelihood("gaussian", variance=0.1).variance
        0.1
    """
    known = _known()
    if name not in known:
        raise UserError(f"likelihood={name!r}: {did_you_mean(str(name), known)}", Code.INVALID, ["likelihood"])
    make, chosen = pkgutil.resolve_name(known[name]["_target_"]), {**known[name]}
    chosen = {key: value for key, value in chosen.items() if key not in {"name", "_target_"}}
    valid = [key for key in chosen if key != SQUASH]
    if unknown := [key for key in settings if key not in valid]:
        message = f"{unknown[0]}: not a setting of likelihood={name}; {did_you_mean(unknown[0], valid)}"
        raise UserError(message, Code.UNKNOWN_KEY, unknown)
    if SQUASH in chosen:
        chosen[SQUASH] = "identity"
    hints = get_type_hints(make.__init__, include_extras=True)
    for key, value in settings.items():
        try:
            chosen[key] = TypeAdapter(hints[key]).validate_python(value)
        except ValidationError as error:
            message = f"{key}={value!r}: {error.errors()[0]['msg'].lower()}"
            raise UserError(message, Code.INVALID, [key]) from error
    found: Likelihood = make(**chosen)
    return found


@cache
def _known() -> dict[str, dict[str, Any]]:
    """Return the settings of every likelihood by its name, from the files that the commands read."""
    files = sorted((config_folder() / "likelihood").glob("*.yaml"))
    return {file.stem: yaml.safe_load(file.read_text(encoding="utf-8")) for file in files}


def as_likelihood(given: str | Likelihood, decoder_gives: DecoderGives = "means") -> Likelihood:
    """Return a likelihood that is given by its name, or a copy at rest of one that is given itself, whose values are
    squashed where they are logits. Raises UserError of anything else."""
    if isinstance(given, str):
        given = likelihood(given)
    if not isinstance(given, Likelihood):
        message = f"likelihood={given!r}: must be a name, one of {', '.join(_known())}, or a likelihood"
        raise UserError(message, Code.INVALID, ["likelihood"])
    found = copy.deepcopy(given)
    if isinstance(found, nn.Module):
        found.eval()
    if decoder_gives == "logits" and hasattr(found, "squash"):
        found.squash = "sigmoid"
    return found


def tells_means(likelihood: Likelihood) -> bool:
    """Say whether means tell all the values that a likelihood needs of a decoder."""
    return likelihood.values_of_mean(torch.full((1, 1, 1, 1), 0.5)) is not None


class Readout(NamedTuple):
    """How a decoder's outputs are read."""

    likelihood: Likelihood
    gives: DecoderGives

    @classmethod
    def of(cls, likelihood: Likelihood, gives: DecoderGives) -> "Readout":
        """Return it. Raises UserError where this likelihood has no values that are told by means alone."""
        if gives not in get_args(DecoderGives):
            hint = did_you_mean(str(gives), get_args(DecoderGives))
            raise UserError(f"decoder_gives={gives!r}: {hint}", Code.INVALID, ["decoder_gives"])
        if gives == "means" and not tells_means(likelihood):
            name = type(likelihood).__name__
            message = f'decoder_gives="means": means do not tell what {name} needs; say "parameters" and give its'
            needs = f"{message} values, {likelihood.values_per_pixel} for each number of a row"
            raise UserError(needs, Code.INCOMPATIBLE, ["decoder_gives"])
        if gives == "logits" and not (_in_unit_interval(likelihood) or likelihood.largest_count is not None):
            message = f'decoder_gives="logits": the means of {type(likelihood).__name__} are not in [0, 1]'
            raise UserError(message, Code.INCOMPATIBLE, ["decoder_gives"])
        return cls(likelihood, gives)

    def values(self, outputs: Float[Tensor, "rows ..."], shape: tuple[int, ...]) -> Values:
        """Return a decoder's outputs as the likelihood's values, differentiably.

        Raises:
            UserError: the decoder gives another number of values than a row of this shape has, or in another order of
                dimensions.
        """
        v, n_places = self.likelihood.values_per_pixel, math.prod(shape)
        flat = outputs.float().flatten(1)
        if v == 1 and outputs.ndim == len(shape) + 1 and tuple(outputs.shape[1:]) != shape:
            message = f"decode: gives rows of shape {tuple(outputs.shape[1:])}, and those of x have {shape}"
            raise UserError(message, Code.INCOMPATIBLE, ["decode"])
        if flat.shape[1] != v * n_places:
            given = "x".join(map(str, outputs.shape))
            needs = f"{n_places:,}" if v == 1 else f"{v} x {n_places:,}"
            message = f"decode: gives the shape {given}; for each row it must give {needs} numbers, as many as x has"
            raise UserError(message, Code.INCOMPATIBLE, ["decode"])
        values = flat.reshape(len(flat), v, 1, n_places)
        if self.gives != "means":
            return values
        found = self.likelihood.values_of_mean(values)
        return values if found is None else found

    def check(self, outputs: Float[Tensor, "rows ..."], x: Places) -> tuple[str, ...]:
        """Return what is strange about the outputs. Raises UserError where they cannot be what they are said to be."""
        flat = outputs.detach().float().flatten(1)
        if not flat.isfinite().all():
            raise UserError("decode: gives numbers that are not finite (NaN or infinite)", Code.NOT_FINITE, ["decode"])
        least, most = float(flat.min()), float(flat.max())
        in_unit = _in_unit_interval(self.likelihood)
        shown = x.flatten(1)
        if self.gives == "means" and self.likelihood.needs_counts and least < 0:
            message = f"decode: gives means from {least:.3g} to {most:.3g}, and means of counts are not below 0"
            raise _misread(message, "parameters")
        if self.gives == "means" and in_unit and (least < -1e-6 or most > 1 + 1e-6):
            message = f"decode: gives means from {least:.3g} to {most:.3g}, and they must be in [0, 1]"
            raise _misread(message, "logits")
        if self.gives != "means" and flat.shape == shown.shape and self._fit_better_as_means(flat, x):
            raise _misread(f"decode: gives numbers that fit x far better as means than as {self.gives}", "means")
        if flat.shape != shown.shape or float(shown.min()) < 0 or float(shown.max()) > 1:
            return ()
        as_means, as_logits = _error(flat, shown), _error(torch.sigmoid(flat), shown)
        if self.gives == "logits" and least >= 0 and most <= 1 and as_means < as_logits:
            raise _misread("decode: gives numbers in [0, 1] that fit x better as means than as logits", "means")
        out = max(-least, most - 1)
        if self.gives == "means" and not in_unit and out > FAR_OUT and as_logits < as_means / 2:
            told = f"decode gives numbers from {least:.3g} to {most:.3g} that fit x better as logits than as means"
            return (f'{told}: say decoder_gives="logits" if they are',)
        return ()

    def _fit_better_as_means(self, flat: Tensor, x: Places) -> bool:
        """Say whether outputs are surely likelier as means; False where they cannot be means."""
        least, most = float(flat.min()), float(flat.max())
        if least < 0 or (_in_unit_interval(self.likelihood) and most > 1) or self.likelihood.values_per_pixel > 1:
            return False
        values = flat.reshape(x.shape)
        by_means = self.likelihood.values_of_mean(values)
        if by_means is None or torch.equal(by_means, values):
            return False
        with torch.no_grad():
            more = self.likelihood.log_prob(x, by_means) - self.likelihood.log_prob(x, values)
        return Mean.of(more).surely_above(CLEARLY)


def _in_unit_interval(likelihood: Likelihood) -> bool:
    return likelihood.needs_unit_interval or likelihood.means_in_unit_interval


def _misread(message: str, rather: DecoderGives) -> UserError:
    return UserError(f'{message}; say decoder_gives="{rather}" if they are {rather}', Code.INVALID, ["decoder_gives"])


def _error(means: Tensor, shown: Tensor) -> float:
    return float((means - shown).square().mean())
