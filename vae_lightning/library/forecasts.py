"""What a KL weight will let live of anyone's data, before any training: the forecast as a library."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from vae_lightning import theory
from vae_lightning.data import Images
from vae_lightning.data.accepted import as_labels
from vae_lightning.distributions import Likelihood
from vae_lightning.errors import Code, UserError
from vae_lightning.library.likelihoods import DecoderGives, as_likelihood
from vae_lightning.library.optional import needed
from vae_lightning.library.rows import Rows, rows_of
from vae_lightning.spelling import did_you_mean
from vae_lightning.theory import NoForecast, pixel_moments
from vae_lightning.theory.conventions import Loss, LossInNats, checked_weights

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Binarize = Literal["none", "dynamic"]
MOST_ROWS = 100_000
N_UNITS = 20
"""Where nobody says how many."""
N_LISTED = 12
N_POINTS = 400
"""Of the curve that is drawn."""


@dataclass(frozen=True)
class DataForecast:
    """What the data let live. Arrays of one number for each KL weight have the shape of ``kl_weight`` as it was given.

    Example:
        >>> import torch, vae_lightning as vl
        >>> x = torch.randn(2000, 8, generator=torch.Generator().manual_seed(0)) * torch.arange(8, 0, -1)
        >>> f = vl.forecast(x, likelihood=vl.likelihood("gaussian", variance=1.0), kl_weight=[1, 20], latent_dim=4)
        >>> f.active_units
        array([4, 4])
        >>> round(f.kl_weight_for(active_units=3))
        30
    """

    kl_weight: Floats
    """In nats: what multiplies the KL where the reconstruction is -log p(x|z) of a row."""
    latent_dim: int
    likelihood: Likelihood
    found: theory.Forecast = field(repr=False)
    """What theory says, of which this is a view."""
    shape: tuple[int, ...]
    """Of the data: rows, and a row's own."""
    loss: LossInNats | None
    """The loss by which likelihood and KL weight were given, and what it means here."""
    notes: tuple[str, ...]

    @property
    def critical_kl_weights(self) -> Floats:
        """The KL weight below which each direction can live, descending: of at least ``latent_dim`` directions, as far
        as the data have them."""
        found: Floats = self.found.critical_weights[: max(self.latent_dim, theory.LEAST_DIRECTIONS)].numpy()
        return found

    @property
    def critical_kl_weights_on_new_data(self) -> Floats:
        """The same of rows that did not choose the directions, a lower bound: what holds beyond this sample."""
        return self._held_out[0]

    @property
    def standard_error(self) -> Floats:
        """Standard errors of :attr:`critical_kl_weights_on_new_data`."""
        return self._held_out[1]

    @cached_property
    def _held_out(self) -> tuple[Floats, Floats]:
        if self.found.held_out is None:
            message = f"x: {self.shape[0]} rows are too few to tell what holds on new data"
            raise UserError(message, Code.INCOMPATIBLE, ["x"])
        values, errors = (each[: max(self.latent_dim, theory.LEAST_DIRECTIONS)].numpy() for each in self.found.held_out)
        return values, errors

    @property
    def active_units(self) -> Counts:
        """How many units live at each KL weight: directions whose critical weight is above it, at most
        ``latent_dim``."""
        return self._each(self.found.active_units).astype(np.int64)

    @property
    def kl_ceiling(self) -> Floats:
        """What the KL cannot exceed at an optimum, in nats per row, at each KL weight; infinite at 0.

        Raises:
            UserError: nothing bounds this likelihood, as where its scale is learned.
        """
        gain = self.found.greatest_gain
        if gain is None:
            message = "kl_ceiling: nothing bounds log p(x|z) of this likelihood"
            raise UserError(message, Code.INCOMPATIBLE, ["likelihood"])
        return self._each(lambda weight: gain.value / weight if weight else np.inf)

    def _each(self, function: Any) -> Floats:
        found = [function(weight) for weight in np.atleast_1d(self.kl_weight).tolist()]
        return np.asarray(found, dtype=np.float64).reshape(self.kl_weight.shape)

    def kl_weight_for(self, active_units: int) -> float:
        """Return the KL weight, in nats, at which so many units can live: the middle, on a log scale, of those that let
        them. Networks that are not linear may keep fewer: they pack several directions into one unit.

        Args:
            active_units: from 0 to ``latent_dim``.

        Raises:
            UserError: the data have not so many directions, or two of them go at once.
        """
        try:
            below, above = self.found.kl_weights_for(whole_number("active_units", active_units, least=0))
        except ValueError as error:
            raise UserError(str(error), Code.INVALID, ["active_units"]) from error
        if above == np.inf:
            return below * 1.25
        return float(np.sqrt(below * above)) if below > 0 else above / 2

    def loss_weight_for(self, active_units: int) -> float:
        """Return :meth:`kl_weight_for` as the weight to write into the loss by which the forecast was made.

        Raises:
            UserError: it was made by likelihood and KL weight, or the data have not so many directions.
        """
        if self.loss is None:
            message = (
                "loss_weight_for: the forecast is in nats; make it with loss=vl.from_loss(...), or ask kl_weight_for"
            )
            raise UserError(message, Code.MISSING, ["loss"])
        return self.loss.weight_for(self.kl_weight_for(active_units))

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas frame with a row for each direction: its critical KL weight, what of it holds on new data
        with the standard error, and whether it lives at each KL weight."""
        pd = needed("pandas", "to_frame()")
        critical = self.critical_kl_weights
        frame = pd.DataFrame({"direction": np.arange(1, len(critical) + 1), "critical_kl_weight": critical})
        if self.found.held_out is not None:
            for name, values in zip(("on_new_data", "standard_error"), self._held_out, strict=True):
                frame[name] = pd.Series(values)
        for weight in np.atleast_1d(self.kl_weight).tolist():
            frame[f"lives_at_{weight:g}"] = [
                index < self.latent_dim and theory.lives(value, weight) for index, value in enumerate(critical.tolist())
            ]
        return frame

    def plot(self) -> "Figure":
        """Return a matplotlib figure: how many units live at each KL weight, and the weights that were asked for."""
        needed("matplotlib", "plot()")
        from vae_lightning.plots import forecast_curves

        critical = self.critical_kl_weights
        positive = [*critical[critical > 0].tolist(), *self.kl_weight[self.kl_weight > 0].reshape(-1).tolist()]
        weights = np.geomspace(min(positive) / 2, max(positive) * 2, N_POINTS).tolist()
        units = [self.found.active_units(weight) for weight in weights]
        return forecast_curves([("", units)], weights, marked=np.atleast_1d(self.kl_weight).tolist())

    def __str__(self) -> str:
        from vae_lightning.library.telling import forecast_lines

        return "\n".join(forecast_lines(self))


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
    except RuntimeError as error:  # of torch's linear algebra
        message = f"x: values from {least:.3g} to {most:.3g} are too large for their covariance; scale them"
        raise UserError(message, Code.INCOMPATIBLE, ["x"]) from error
    if isinstance(found, NoForecast):
        raise UserError(found.reason, Code.INCOMPATIBLE, ["likelihood"])
    return found
