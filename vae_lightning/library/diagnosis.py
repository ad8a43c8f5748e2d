"""What became of a model's latent units: the answer of :func:`diagnose`, from one pass over some rows."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from vae_lightning.diagnostics import Evidence, MutualInformation, Verdict, active_directions, mutual_information
from vae_lightning.diagnostics.active_units import THRESHOLD
from vae_lightning.diagnostics.implied_weight import (
    NOBODY_LIVES,
    NOT_AT_REST,
    at_a_bound,
    implied_kl_weight,
    kl_weight_by_means,
)
from vae_lightning.diagnostics.unread import by_position
from vae_lightning.diagnostics.verdicts import Word
from vae_lightning.distributions import LocationScale
from vae_lightning.errors import Code, UserError
from vae_lightning.estimates import Mean
from vae_lightning.library.data_forecast import DataForecast
from vae_lightning.library.measuring import Measured
from vae_lightning.library.optional import needed
from vae_lightning.theory.conventions import LossInNats

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]
OFF = 0.2
"""Relative error of the implied weight beside that of the rows: networks that had overfitted told 0.0755 and 0.0732 on
test rows, and were trained at 0.0625 and 0.05."""
MOST_PAIRS = 80_000_000
"""Of rows, times units, that the mutual information compares: 2,000 rows of 20 units."""


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """What became of a model's latent units, in nats per row. ``print`` it to read it.

    Units are the code's numbers; of spatial codes (channels x height x width) they are the channels.

    Example:
        >>> import torch, vae_lightning as vl
        >>> x = torch.randn(4000, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([3., 2, 1, 1, 1, 1])
        >>> blind = lambda x: (torch.zeros(len(x), 2), torch.zeros(len(x), 2))
        >>> d = vl.diagnose(blind, lambda z: torch.zeros(len(z), 6), x, loss=vl.from_loss("mse_mean", weight=1.0))
        >>> d.verdict, d.kl_weight, d.kl_per_unit.tolist()
        ('collapsed', 6.0, [0.0, 0.0])
        >>> d.advice[0].split(":")[0]
        'the weight in your loss is 6 times as large as it looks'
    """

    kl_weight: float
    """In nats: what the loss charges for a nat of KL."""
    loss: LossInNats | None
    found: Measured
    """The model's answers, of which this is a view."""
    judged: Verdict
    evidence: Evidence
    notes: tuple[str, ...]
    """How the rows were read."""
    data_forecast: DataForecast | str
    """Of the rows that were given, or why there is none."""
    causes: tuple[str, ...] = ()
    """What is wrong before any word about units, in sentences: a loss, a scale, a shape."""
    advice: tuple[str, ...] = ()
    """What the numbers mean, and what to do, in sentences."""

    @property
    def verdict(self) -> Word:
        """*healthy*, *pruned*, *collapsed*, *starved*, *undertrained* or *undecided*: see docs/verdicts.md."""
        return self.judged.word

    @property
    def sentence(self) -> str:
        """The verdict with its reason."""
        return self.judged.sentence

    @property
    def margin(self) -> float:
        """What one more unit would earn over what the KL weight charges for it: above 1 it would pay."""
        return self.judged.margin

    @property
    def margin_error(self) -> float:
        """Standard error of the margin."""
        return self.judged.error

    @property
    def nats_at_stake(self) -> Mean:
        """Nats of the loss per row that the verdict says could be had, with the standard error."""
        return self.judged.stake

    @cached_property
    def kl_per_unit(self) -> Floats:
        """Mean KL of each unit; of spatial codes summed over its positions."""
        return self.kl_per_position.sum(1) if self.kl_per_position.ndim > 1 else self.kl_per_position

    @cached_property
    def kl_per_position(self) -> Floats:
        """Mean KL of each latent in the shape of a row's code: of spatial codes channels x positions."""
        per_latent = self.found.kl.double().mean(0)
        found: Floats = (per_latent if self.found.n_positions == 1 else self.found.over_positions(per_latent)).numpy()
        return found

    @cached_property
    def variance_of_mean(self) -> Floats:
        """Variance over the rows of each unit's posterior mean; of spatial codes the mean over its positions."""
        variance = self.found.posterior.mean.double().var(0, correction=0)
        found: Floats = self.found.over_positions(variance).mean(1).numpy()
        return found

    @property
    def read_per_unit(self) -> Floats:
        """What the decoder reads of each unit, in nats: the KL between its answers to a code and to one with the unit
        redrawn."""
        found: Floats = self.found.read.double().numpy()
        return found

    @property
    def active_units(self) -> int:
        """Units whose posterior mean varies by more than 0.01 over the rows (Burda et al. 2015)."""
        return int((self.variance_of_mean > THRESHOLD).sum())

    @property
    def living_units(self) -> int:
        """Units that the encoder writes and the decoder reads."""
        return int((self.evidence.written & self.evidence.read).sum())

    @cached_property
    def active_directions(self) -> int:
        """Directions of the code in which the means vary by more than 0.01, however units share them."""
        means = self.found.posterior.mean
        return active_directions(by_position(means - means.mean(0), self.found.n_positions))

    @property
    def kl(self) -> Mean:
        """The rate: KL(q(z|x) || p(z)), with the standard error over rows."""
        return Mean.of(self.found.kl.double().sum(1))

    @property
    def distortion(self) -> Mean:
        """-E log p(x|z), with the standard error over rows."""
        return Mean.of(self.found.distortion)

    @property
    def elbo(self) -> Mean:
        """The unweighted bound -(distortion + KL), with the standard error over rows."""
        return Mean.of(-(self.found.distortion.double() + self.found.kl.double().sum(1)))

    @cached_property
    def mutual_information(self) -> MutualInformation:
        """Bounds on what the codes tell of their rows, in nats, from 0 to the KL.

        The lower one cannot exceed the log of the number of rows compared, 2,000 of 20 units.
        """
        posterior, noise = self.found.posterior, self.found.noise
        n = int(min(len(posterior.mean), (MOST_PAIRS / posterior.mean.shape[1]) ** 0.5))
        some = LocationScale(posterior.mean[:n], posterior.log_squared_scale[:n], posterior.standard)
        found = mutual_information(some, noise[:, :n])
        most = self.kl.value
        upper = min(max(0.0, found.upper), most)
        return found._replace(lower=min(max(0.0, found.lower), upper), upper=upper)

    @property
    def marginal_kl(self) -> tuple[float, float]:
        """Bounds on KL(q(z) || p(z)), the aggregate posterior's distance from what samples are drawn from: the KL less
        the mutual information (Hoffman & Johnson 2016)."""
        kl, information = self.kl.value, self.mutual_information
        return kl - information.upper, kl - information.lower

    @property
    def idle_nats(self) -> Mean:
        """Nats of the KL that a linear change of the codes would save, by their mean and covariance."""
        return self.evidence.idle

    @property
    def implied_kl_weight(self) -> Mean:
        """The KL weight at which the model's own distortion and KL balance: the one of the training, where it has come
        to rest and the encoder's last layers are linear (:mod:`vae_lightning.diagnostics.implied_weight`).

        The error has in it what real trainings are off, overfitting above all: rows of the training tell the weight
        more exactly than others.

        Raises:
            UserError: no unit lives, the training is not at rest, or the decoder gives no derivatives.
        """
        if self.found.balance is None:
            raise UserError("implied_kl_weight: decode gives no derivatives", Code.INCOMPATIBLE, ["decode"])
        weight = implied_kl_weight(self.found.balance)
        by_means = kl_weight_by_means(self.found.balance)
        if by_means is not None and weight != NOBODY_LIVES and at_a_bound(self.found.posterior.log_squared_scale):
            weight = by_means if by_means.surely_above(0.0) else NOT_AT_REST
        if isinstance(weight, str):
            raise UserError(f"implied_kl_weight: {weight}", Code.INCOMPATIBLE, ["encode"])
        return Mean(weight.value, math.hypot(weight.error, OFF * weight.value))

    @property
    def mean_squared_error(self) -> float:
        """Mean over values and codes of (x - E[x|z])². Raises UserError where the likelihood is not a Gaussian of one
        variance."""
        if self.found.readout.likelihood.variance is None:
            message = "mean_squared_error: this likelihood is not a Gaussian of one variance"
            raise UserError(message, Code.INCOMPATIBLE, ["likelihood"])
        return self.found.mean_squared_error

    @property
    def forecast(self) -> DataForecast:
        """What the rows that were given would let live at this KL weight. Raises UserError where none can be told."""
        if isinstance(self.data_forecast, str):
            raise UserError(self.data_forecast, Code.INCOMPATIBLE, ["likelihood"])
        return self.data_forecast

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas frame with a row for each unit: KL, variance of the mean, what is read, whether it lives."""
        pd = needed("pandas", "to_frame()")
        living = (self.evidence.written & self.evidence.read).numpy()
        columns = {
            "unit": np.arange(len(living)), "kl": self.kl_per_unit, "variance_of_mean": self.variance_of_mean,
            "read": self.read_per_unit, "lives": living,
        }  # fmt: skip
        return pd.DataFrame(columns)

    def plot(self) -> "Figure":
        """Return a matplotlib figure: the KL of each unit, and what the data have beside what the model left of it."""
        needed("matplotlib", "plot()")
        from vae_lightning.plots import diagnosis

        known = not isinstance(self.data_forecast, str)
        critical = torch.from_numpy(self.forecast.critical_kl_weights) if known else None
        kl, variance = torch.from_numpy(self.kl_per_unit), torch.from_numpy(self.variance_of_mean)
        left = self.found.residual.eigenvalues
        return diagnosis(kl, variance, self.found.read, THRESHOLD, left, critical, self.kl_weight)

    def __str__(self) -> str:
        from vae_lightning.library.telling import diagnosis_lines

        return "\n".join(diagnosis_lines(self))

    __repr__ = __str__  # what a notebook shows
