"""Metrics of latent units for anyone's training: how many are active, and the KL of each."""

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal
from torchmetrics import Metric

from vae_lightning.diagnostics.active_units import THRESHOLD, active_units
from vae_lightning.errors import Code, UserError


class OverRows(Metric):
    """A statistic of each latent unit over all rows seen, in double precision, for anyone's training."""

    full_state_update = False
    is_differentiable = False

    def __init__(self, latent_dim: int, shape: tuple[int, ...], **settings: Any) -> None:
        super().__init__(**settings)
        if isinstance(latent_dim, bool) or not isinstance(latent_dim, int) or latent_dim < 1:
            message = f"latent_dim={latent_dim!r}: must be a whole number from 1 on"
            raise UserError(message, Code.INVALID, ["latent_dim"])
        self.latent_dim = latent_dim
        self.shape = shape
        """Of what ``compute`` returns."""

    @property
    def n_rows(self) -> float:
        """How many rows were seen."""
        raise NotImplementedError

    def _check_seen(self) -> None:
        if not self.n_rows:
            message = f"{type(self).__name__}: compute() before update(): no rows have been seen"
            raise UserError(message, Code.MISSING, ["update"])

    def _wrap_compute(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        """Keep the shape, which torchmetrics takes from a result of one element, and its warning behind our error."""
        wrapped = super()._wrap_compute(compute)

        @functools.wraps(compute)
        def shaped(*args: Any, **kwargs: Any) -> Tensor:
            if not self.update_called and not self.distributed_available_fn():
                self._check_seen()
            found: Tensor = wrapped(*args, **kwargs)
            return found.reshape(self.shape)

        return shaped

    def _checked(self, values: Tensor, name: str) -> Tensor:
        """Return the values of rows x units as doubles. Raises UserError where they are none."""
        if not isinstance(values, Tensor) or not values.is_floating_point():
            kind = f"tensor of {values.dtype}" if isinstance(values, Tensor) else type(values).__name__
            message = f"{name}: a {kind}; must be a tensor of floats, rows x units"
            raise UserError(message, Code.INVALID, [name])
        if values.ndim != 2:
            message = f"{name}: the shape is {tuple(values.shape)}; must be rows x units, as flatten(1) makes of codes"
            raise UserError(f"{message} of other shapes", Code.INVALID, [name])
        if values.shape[1] != self.latent_dim:
            message = f"{name}: {values.shape[1]} units, and the metric has latent_dim={self.latent_dim}"
            raise UserError(message, Code.INCOMPATIBLE, [name, "latent_dim"])
        if not values.isfinite().all():
            raise UserError(f"{name}: numbers that are not finite (NaN or infinite)", Code.NOT_FINITE, [name])
        return values.detach().double()


class ActiveUnits(OverRows):
    """Number of active units: those whose posterior mean varies over the rows by more than ``threshold``.

    (Burda et al. 2015, section 5.2.) It is that of all rows at once, whatever the batches and ranks, and however large
    the means are. A unit can be active though the decoder does not read it: see :func:`vae_lightning.diagnose`.

    Args:
        latent_dim: how many units the code has.
        threshold: of the variance, which divides by the number of rows.
        settings: as ``sync_on_compute``, for torchmetrics.

    Raises:
        UserError: ``update`` is given no floats, another shape than rows x ``latent_dim``, or numbers that are not
            finite; ``compute`` is called before it.

    Example:
        >>> import torch, vae_lightning as vl
        >>> active = vl.ActiveUnits(latent_dim=3)
        >>> active.update(torch.tensor([[1.0, 0.0, 0.05], [-1.0, 0.0, 0.0]]))
        >>> active.update(torch.tensor([[0.5, 0.0, 0.02]]))
        >>> active.compute()
        tensor(1)
    """

    moments: Tensor
    """Rows, mean and sum of squared deviations of each unit."""

    def __init__(self, latent_dim: int, threshold: float = THRESHOLD, **settings: Any) -> None:
        super().__init__(latent_dim, (), **settings)
        if not (math.isfinite(threshold) and threshold >= 0):
            message = f"threshold={threshold!r}: must be a finite number, 0 or above"
            raise UserError(message, Code.INVALID, ["threshold"])
        self.threshold = threshold
        self.add_state("moments", torch.zeros(3, latent_dim, dtype=torch.float64), dist_reduce_fx=merged_moments)

    @property
    def n_rows(self) -> float:
        return float(self.moments[0, 0])

    def update(self, mean: Tensor | Distribution) -> None:
        """Add rows by the means of their posteriors, rows x units, or by the posteriors, Normals."""
        means = self._checked(mean if isinstance(mean, Tensor) else normal_of(mean).loc, "mean")
        if len(means):
            center = means.mean(0)
            batch = [torch.full_like(center, len(means)), center, (means - center).square().sum(0)]
            self.moments = merged_moments(torch.stack([self.moments, torch.stack(batch)]))

    def compute(self) -> Int[Tensor, ""]:
        """Return the number, an int64 tensor of no dimensions."""
        self._check_seen()
        return torch.tensor(active_units(self.moments[2] / self.moments[0], self.threshold), device=self.device)


def merged_moments(parts: Float[Tensor, "parts 3 latent"]) -> Float[Tensor, "3 latent"]:
    """Return number, mean and sum of squared deviations of rows in several parts, of which these are known.

    Chan et al. (1979): of sums of squares, those of large means would drown the variance.
    """
    n, mean, squares = parts.unbind(1)
    total = n.sum(0)
    center = (n / total.clamp_min(1) * mean).sum(0)
    return torch.stack([total, center, (squares + n * (mean - center).square()).sum(0)])


class KLPerUnit(OverRows):
    """KL(q(z_i|x) || N(0, 1)) of each unit, the mean over all rows seen, in nats: always one number for each unit.

    Args:
        latent_dim: how many units the code has.
        settings: as ``sync_on_compute``, for torchmetrics.

    Raises:
        UserError: ``update`` is given no floats, another shape than rows x ``latent_dim``, or numbers that are not
            finite; ``compute`` is called before it.

    Example:
        >>> import torch, vae_lightning as vl
        >>> kl = vl.KLPerUnit(latent_dim=2)
        >>> kl.update(torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.zeros(2, 2))
        >>> kl.compute()
        tensor([1., 0.], dtype=torch.float64)

        Together they take both by name:

        >>> from torchmetrics import MetricCollection
        >>> both = MetricCollection([vl.ActiveUnits(2), vl.KLPerUnit(2)])
        >>> both.update(mean=torch.tensor([[2.0, 0.0], [0.0, 0.0]]), log_variance=torch.zeros(2, 2))
        >>> both.compute()
        {'ActiveUnits': tensor(1), 'KLPerUnit': tensor([1., 0.], dtype=torch.float64)}
    """

    total: Tensor
    n: Tensor

    def __init__(self, latent_dim: int, **settings: Any) -> None:
        super().__init__(latent_dim, (latent_dim,), **settings)
        self.add_state("total", torch.zeros(latent_dim, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("n", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    @property
    def n_rows(self) -> float:
        return float(self.n)

    def update(self, mean: Tensor | Distribution, log_variance: Tensor | None = None) -> None:
        """Add rows by the means and log variances of their posteriors, rows x units, or by the posteriors, Normals."""
        if isinstance(mean, Distribution):
            if log_variance is not None:
                raise UserError("log_variance: the Normal has it already", Code.INCOMPATIBLE, ["log_variance"])
            normal = normal_of(mean)
            mean, log_variance = normal.loc, 2 * normal.scale.double().log()
        if log_variance is None:
            raise UserError("log_variance: missing beside the means", Code.MISSING, ["log_variance"])
        mean, log_variance = self._checked(mean, "mean"), self._checked(log_variance, "log_variance")
        if mean.shape != log_variance.shape:
            message = f"log_variance: of {len(log_variance)} rows, and the means are of {len(mean)}"
            raise UserError(message, Code.INCOMPATIBLE, ["mean", "log_variance"])
        self.total += 0.5 * (mean.square() + (torch.expm1(log_variance) - log_variance)).sum(0)
        self.n += len(mean)

    def compute(self) -> Float[Tensor, " latent"]:
        """Return the means, a float64 tensor of shape (latent_dim,)."""
        self._check_seen()
        return self.total / self.n


def normal_of(posterior: Distribution) -> Normal:
    """Return the Normal that a posterior is, or that an Independent holds. Raises UserError where it is another."""
    found: Any = posterior
    while isinstance(found, Independent):
        found = found.base_dist
    if not isinstance(found, Normal):
        message = f"mean: a {type(found).__name__}; must be a tensor, or a Normal of torch.distributions"
        raise UserError(message, Code.INVALID, ["mean"])
    return found
