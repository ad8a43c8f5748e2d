"""Thin torchmetrics shells around the functions of this room: they sum over batches and ranks."""

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from vae_lightning.diagnostics.active_units import THRESHOLD, MeanMoments, active_units
from vae_lightning.diagnostics.over_images import RateDistortion
from vae_lightning.diagnostics.residual import Residuals, kept_images, residuals_of_batch
from vae_lightning.errors import Code, UserError


class Sums(Metric):
    """Sums over images, exact over batches and ranks: in double precision, so that a large mean drowns no variance."""

    full_state_update = False

    def __init__(self, **shapes: tuple[int, ...]) -> None:
        super().__init__()
        for name, shape in shapes.items():
            self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")


class RateDistortionMetric(Sums):
    """Averages the terms of a bound over images."""

    distortion: Tensor
    kl_per_unit: Tensor
    n: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__(distortion=(), kl_per_unit=(latent_dim,), n=())

    def update(self, distortion: Float[Tensor, " batch"], kl_per_unit: Float[Tensor, "batch latent"]) -> None:
        self.distortion += distortion.double().sum()
        self.kl_per_unit += kl_per_unit.double().sum(0)
        self.n += len(distortion)

    def compute(self) -> RateDistortion:
        return RateDistortion(self.distortion / self.n, self.kl_per_unit / self.n)


class PosteriorMeanMoments(Sums):
    """Mean and variance over all images seen of each unit's posterior mean."""

    total: Tensor
    total_squares: Tensor
    n: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__(total=(latent_dim,), total_squares=(latent_dim,), n=())

    def update(self, means: Float[Tensor, "batch latent"]) -> None:
        means = means.double()
        self.total += means.sum(0)
        self.total_squares += means.square().sum(0)
        self.n += len(means)

    def compute(self) -> MeanMoments:
        mean = self.total / self.n
        return MeanMoments(mean, (self.total_squares / self.n - mean.square()).clamp_min(0))


class PerImageMetric(Metric):
    """Keeps a row of numbers per image; ``compute`` returns them in the order of the split."""

    full_state_update = False
    indices: list[Tensor]
    values: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("indices", [], dist_reduce_fx="cat")
        self.add_state("values", [], dist_reduce_fx="cat")

    def update(self, indices: Int[Tensor, " batch"], values: Float[Tensor, "batch columns"]) -> None:
        self.indices.append(indices)
        self.values.append(values)

    def compute(self) -> Float[Tensor, "images columns"]:
        order = dim_zero_cat(self.indices).argsort()
        rows: Tensor = dim_zero_cat(self.values)[order]
        return rows.reshape(len(order), -1)


class ResidualRows(Metric):
    """Keeps the residuals of some images, evenly spread over the split, and sums the curvatures of all."""

    full_state_update = False
    one: list[Tensor]
    other: list[Tensor]
    curvatures: list[Tensor]
    rows: list[Tensor]
    blocks: Tensor
    n: Tensor

    def __init__(self, n_pixels: int, values_per_pixel: int, n_images: int) -> None:
        super().__init__()
        self.v = values_per_pixel
        for name in ("one", "other", "curvatures", "rows"):
            self.add_state(name, [], dist_reduce_fx="cat")
        blocks = torch.zeros(values_per_pixel, values_per_pixel, n_pixels, dtype=torch.float64)
        self.add_state("blocks", blocks, dist_reduce_fx="sum")
        self.add_state("n", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.kept = kept_images(n_pixels * values_per_pixel, n_images)

    def update(
        self, rows: Int[Tensor, " batch"], scores: Float[Tensor, "..."], curvatures: Float[Tensor, "..."]
    ) -> None:
        """Add images by the likelihood's scores and curvatures for at least two samples of their codes."""
        found = residuals_of_batch(rows, scores, curvatures, self.v, self.kept)
        self.one.append(found.one)
        self.other.append(found.other)
        if found.curvature is not None:
            self.curvatures.append(found.curvature)
        self.rows.append(found.images)
        self.blocks += found.blocks
        self.n += len(rows)

    def compute(self) -> Residuals:
        rows = dim_zero_cat(self.rows)
        order = rows.argsort()
        one, other = (dim_zero_cat(state)[order] for state in (self.one, self.other))
        curvature = dim_zero_cat(self.curvatures)[order] if self.v == 1 else None
        return Residuals(one, other, curvature, self.blocks / self.n, rows[order])


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
