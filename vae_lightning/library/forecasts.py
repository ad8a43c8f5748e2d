"""What a KL weight will let live of anyone's data, before any training."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch

from vae_lightning import theory
from vae_lightning.data import Images
from vae_lightning.data.accepted import as_labels
from vae_lightning.distributions import Likelihood
from vae_lightning.errors import Code, UserError
from vae_lightning.library.arguments import given, whole_number
from vae_lightning.library.data_forecast import DataForecast
from vae_lightning.library.rows import Rows, rows_of
from vae_lightning.spelling import did_you_mean
from vae_lightning.theory import NoForecast, pixel_moments
from vae_lightning.theory.conventions import Loss, checked_weights

Binarize = Literal["none", "dynamic"]
MOST_ROWS = 100_000
N_UNITS = 20
"""Where nobody says how many."""


def forecast(
    x: Any,
    likelihood: str | Likelihood | None = None,
    kl_weight: float | Sequence[float] | None = None,
    latent_dim: int | None = None,
    *,
    loss: Loss | None = None,
    binarize: Binarize = "none",
) -> DataForecast:
    """Return which latent directions a KL weight will let live, from the data alone, before any training.

    Collapse is locally stable exactly where the weight exceeds the largest generalised eigenvalue of the scores'
    covariance against the curvature at the best decoder without a code (vae_lightning/theory/README.md; of a Gaussian
    also Lucas et al. 2019). It is of a plain weighted ELBO with a Gaussian posterior, and a statement about small
    changes: far below the onset a network packs several directions into one unit and keeps fewer.

    Args:
        x: rows of any shape as the loss sees them: an array, a tensor, a frame, a sparse matrix, a Dataset or a
            DataLoader. Bytes are divided by 255.
        likelihood: a name, as ``"bernoulli"``, or :func:`likelihood` with settings. Not with ``loss``.
        kl_weight: the weight in nats, or several. None: 1. Not with ``loss``.
        latent_dim: how many units the code has. None: 20; a loss whose KL is averaged over units needs their number.
        loss: the loss as your code writes it, by :func:`from_loss`: it is likelihood and KL weight at once.
        binarize: ``"dynamic"`` where each grey value is the probability of a bit that is drawn anew.

    Raises:
        UserError: the data cannot be read, an argument is wrong, or nothing can be foretold of this likelihood.

    Example:
        >>> import torch, vae_lightning as vl
        >>> x = torch.rand(1000, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        >>> f = vl.forecast(x, loss=vl.from_loss("mse_mean", weight=1.0), latent_dim=16)
        >>> int(f.active_units), float(f.kl_weight), f"{float(f.kl_ceiling):.3f}"
        (0, 192.0, '0.083')
    """
    n_units = N_UNITS if latent_dim is None else whole_number("latent_dim", latent_dim, least=1)
    if binarize not in get_args(Binarize):
        message = f"binarize={binarize!r}: {did_you_mean(str(binarize), get_args(Binarize))}"
        raise UserError(message, Code.INVALID, ["binarize"])
    likelihood = given(likelihood, kl_weight, loss)
    weights = checked_weights(1.0 if kl_weight is None else kl_weight, "kl_weight")
    rows = rows_of(x, MOST_ROWS, bytes_are_counts=likelihood.needs_counts)
    read = None if loss is None else loss.in_nats(rows.values[0].numel(), None if latent_dim is None else n_units)
    found = foretold(rows, likelihood, n_units, binarize)
    weights = weights if read is None else read.kl_weight
    return DataForecast(
        weights, n_units, likelihood, found, tuple(rows.values.shape), read, (*rows.faults, *rows.notes)
    )


def foretold(rows: Rows, likelihood: Likelihood, latent_dim: int, binarize: Binarize = "none") -> theory.Forecast:
    """Return what theory says of some rows. Raises UserError where it says nothing."""
    pixels = rows.pixels
    least, most = float(pixels.min()), float(pixels.max())
    if (likelihood.needs_unit_interval or binarize == "dynamic") and (least < 0 or most > 1):
        message = f"x: values from {least:.3g} to {most:.3g}; this likelihood is of values in [0, 1]"
        raise UserError(message, Code.INCOMPATIBLE, ["x", "likelihood"])
    if likelihood.needs_counts and (least < 0 or bool((pixels != pixels.round()).any())):
        message = "x: this likelihood is of counts, whole numbers from 0 on, and these values are not"
        raise UserError(message, Code.INCOMPATIBLE, ["x", "likelihood"])
    if likelihood.largest_count is not None and most > likelihood.largest_count:
        message = f"x: values up to {most:g}; this likelihood is of counts up to {likelihood.largest_count}"
        raise UserError(message, Code.INCOMPATIBLE, ["x", "likelihood"])
    images = Images(pixels, as_labels(None, len(pixels), "x"))
    try:
        found = theory.forecast(pixel_moments(images, binarize), likelihood, latent_dim)
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]  # it is there all the same
        message = f"x: values from {least:.3g} to {most:.3g} are too large for their covariance; scale them"
        raise UserError(message, Code.INCOMPATIBLE, ["x"]) from error
    if isinstance(found, NoForecast):
        raise UserError(found.reason, Code.INCOMPATIBLE, ["likelihood"])
    return found
