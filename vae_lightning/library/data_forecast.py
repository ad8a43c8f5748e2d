"""What the data let live: the answer of :func:`forecast`."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vae_lightning import theory
from vae_lightning.distributions import Likelihood
from vae_lightning.errors import Code, UserError
from vae_lightning.library.arguments import whole_number
from vae_lightning.library.optional import needed
from vae_lightning.theory.conventions import LossInNats

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
N_POINTS = 400
"""Of the curve that is drawn."""


@dataclass(frozen=True, repr=False)
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
    found: theory.Forecast
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

    __repr__ = __str__  # what a notebook shows
