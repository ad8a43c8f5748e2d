"""What the collapse monitor looks at: rows, the module's two functions, the forecast they are judged by."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from vae_lightning.callbacks.collapse_look import Look, Reader, look_at
from vae_lightning.errors import Code, UserError
from vae_lightning.library.data_forecast import DataForecast
from vae_lightning.library.models import Decode, Encode, Model, at_rest, encode_decode
from vae_lightning.library.rows import Rows, rows_of
from vae_lightning.library.undisturbed import undisturbed
from vae_lightning.theory.conventions import checked_weights

WeightInForce = Callable[[Any], float]


@dataclass(frozen=True)
class Subject:
    """Anyone's module beside a forecast, or beside none."""

    forecast: DataForecast | None
    reader: Reader | None
    encode: Encode | None
    decode: Decode | None
    """The module's own where there is none."""
    weight_in_force: WeightInForce | None

    def functions_of(self, module: Any) -> tuple[Encode, Decode]:
        """Return encode and decode. Raises UserError where neither the caller nor the module has given them."""
        if self.encode is not None and (self.decode is not None or self.forecast is None):
            return self.encode, self.decode or self.encode  # which is then not called
        own = encode_decode(module)
        return self.encode or own.encode, self.decode or own.decode

    def rows(self, x: Any, most: int) -> Rows:
        """Return rows of the data. Raises UserError where the forecast cannot be of such."""
        likelihood = None if self.reader is None else self.reader.readout.likelihood
        rows = rows_of(x, most, bytes_are_counts=likelihood is not None and likelihood.needs_counts)
        if self.forecast is not None and rows.values[0].numel() != math.prod(self.forecast.shape[1:]):
            shapes = ["x".join(map(str, shape)) for shape in (rows.values.shape[1:], self.forecast.shape[1:])]
            message = f"x: rows of {shapes[0]} numbers, and the forecast is of rows of {shapes[1]}"
            raise UserError(message, Code.INCOMPATIBLE, ["x", "forecast"])
        least, most_of_them = float(rows.values.min()), float(rows.values.max())
        if likelihood is not None and likelihood.needs_unit_interval and (least < 0 or most_of_them > 1):
            message = f"x: values from {least:.3g} to {most_of_them:.3g}; the forecast is of values in [0, 1]"
            raise UserError(message, Code.INCOMPATIBLE, ["x", "forecast"])
        return rows

    def look(self, module: Any, precision: Any, rows: Rows, *, check: bool) -> Look:
        """Look at the module in evaluation mode; afterwards its modes and every random state are what they were."""
        encode, decode = self.functions_of(module)
        model = Model(_fed(encode, precision), _fed(decode, precision), module.device)
        with undisturbed(device=module.device), at_rest(module, module), at_rest(encode, decode):
            found = look_at(model, rows, self.reader, check=check)
        n_units = len(found.kl_per_unit)
        if self.forecast is not None and self.forecast.latent_dim not in {n_units, found.n_latents}:
            message = f"latent_dim: the forecast is of {self.forecast.latent_dim} units, and the model has {n_units}"
            raise UserError(message, Code.INCOMPATIBLE, ["latent_dim"])
        return found

    def judged_at(self, module: Any, forecast: DataForecast) -> float:
        """Return the KL weight in force, in nats. Raises UserError where it is none."""
        if self.weight_in_force is None:
            return float(forecast.kl_weight.reshape(-1)[0])
        weight = float(checked_weights(float(self.weight_in_force(module)), "kl_weight"))
        return weight if forecast.loss is None else weight * forecast.loss.factor


def _fed(function: Encode | Decode, precision: Any) -> Callable[[torch.Tensor], Any]:
    """Return a function that is called as the Trainer's steps are: under its precision, with numbers of its type."""

    def called(x: torch.Tensor) -> Any:
        with precision.forward_context():
            return function(precision.convert_input(x))

    return called
