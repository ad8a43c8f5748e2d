"""What a foreign encoder returned -> means and log squared scales of its posterior."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Independent, Laplace, Normal

from vae_lightning.distributions import LocationScale, StandardNoise, gaussian_noise, laplace_noise
from vae_lightning.errors import Code, UserError

MEANS = ("mean", "mu", "embedding", "loc", "z_mean", "means")
LOG_VARIANCES = ("log_variance", "log_var", "logvar", "log_covariance", "z_log_var", "log_squared_scale")
VALID = "two tensors (mean, log_variance), a torch.distributions Normal or Laplace, or an output with mean and logvar"


class Encoded(NamedTuple):
    """Posteriors of some rows, of codes of any shape."""

    mean: Float[Tensor, "rows *code"]
    log_squared_scale: Float[Tensor, "rows *code"]
    standard: StandardNoise

    @property
    def posterior(self) -> LocationScale:
        """The posterior of the flat codes."""
        return LocationScale(self.mean.flatten(1), self.log_squared_scale.flatten(1), self.standard)


def encoded(given: Any, n_rows: int) -> Encoded:
    """Return the posterior that an encoder's output is.

    Raises:
        UserError: it is none of what is known, or its shapes do not fit together.
    """
    mean, log_squared_scale, standard = _parts(given)
    shapes = tuple(mean.shape), tuple(log_squared_scale.shape)
    if shapes[0] != shapes[1] or mean.ndim < 2 or len(mean) != n_rows:
        message = f"encode: of {n_rows} rows it gives means of shape {shapes[0]} and log variances of {shapes[1]};"
        raise UserError(f"{message} both must be rows x units", Code.INCOMPATIBLE, ["encode"])
    if not (mean.isfinite().all() and log_squared_scale.isfinite().all()):
        message = "encode: gives means or log variances that are not finite (NaN or infinite)"
        raise UserError(message, Code.NOT_FINITE, ["encode"])
    # Codes are drawn where the data are: the same on every device.
    return Encoded(mean.detach().float().cpu(), log_squared_scale.detach().float().cpu(), standard)


def _parts(given: Any) -> tuple[Tensor, Tensor, StandardNoise]:
    inner = _named(given, ("latent_dist",))
    if inner is not None:
        given = inner
    if isinstance(given, Distribution):
        return _of_distribution(given)
    if isinstance(given, LocationScale):
        return given
    mean, log_variance = _named(given, MEANS), _named(given, LOG_VARIANCES)
    if isinstance(mean, Tensor) and isinstance(log_variance, Tensor):
        return mean, log_variance, gaussian_noise()
    if isinstance(given, tuple | list) and len(given) == 2 and all(isinstance(each, Tensor) for each in given):
        return given[0], given[1], gaussian_noise()
    hint = ", as lambda x: model.encode(x)[:2]" if isinstance(given, tuple | list) and len(given) > 2 else ""
    raise UserError(f"encode: gives {_told(given)}; it must give {VALID}{hint}", Code.INVALID, ["encode"])


def _of_distribution(given: Distribution) -> tuple[Tensor, Tensor, StandardNoise]:
    while isinstance(given, Independent):
        given = given.base_dist
    if isinstance(given, Normal | Laplace):
        noise = gaussian_noise() if isinstance(given, Normal) else laplace_noise()
        return given.loc, 2 * given.scale.log(), noise
    message = f"encode: gives a {type(given).__name__}; of torch.distributions Normal and Laplace can be judged"
    raise UserError(message, Code.INVALID, ["encode"])


def _named(given: Any, names: tuple[str, ...]) -> Any:
    """Return what an output has under one of some names, as a key or an attribute."""
    if isinstance(given, Tensor):  # which has a method called mean
        return None
    for name in names:
        if isinstance(given, Mapping) and name in given:
            return given[name]
        if not isinstance(given, Mapping) and not callable(value := getattr(given, name, None)) and value is not None:
            return value
    return None


def _told(given: Any) -> str:
    if isinstance(given, Tensor):
        return f"one tensor of shape {tuple(given.shape)}"
    if isinstance(given, tuple | list):
        return f"{len(given)} things ({', '.join(type(each).__name__ for each in given)})"
    return f"a {type(given).__name__}"


def joined(pieces: list[Encoded]) -> Encoded:
    """Return the posteriors of all batches."""
    scales = torch.cat([piece.log_squared_scale for piece in pieces])
    return Encoded(torch.cat([piece.mean for piece in pieces]), scales, pieces[0].standard)
