"""Losses as other code writes them: the likelihood and the KL weight that one is, in nats per row, and back.

Every such loss is c (R + w KL), with R a sum over all values of a row, KL a sum over all units, both means over the
batch: what is averaged where it should be summed multiplies the weight by what it was divided by.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from vae_lightning.distributions import BernoulliLikelihood, GaussianLikelihood, Likelihood
from vae_lightning.errors import Code, UserError
from vae_lightning.spelling import did_you_mean

Reconstruction = Literal["mse_sum", "half_mse_sum", "mse_mean", "bce_sum", "bce_mean"]
OverUnits = Literal["sum", "mean"]
OverBatch = Literal["mean", "sum"]
Weights = npt.NDArray[np.float64]
FORMULAS: dict[str, str] = {
    "mse_sum": "sum (x - xh)²",
    "half_mse_sum": "½ sum (x - xh)²",
    "mse_mean": "mean (x - xh)²",
    "bce_sum": "sum BCE",
    "bce_mean": "mean BCE",
}


class Loss(NamedTuple):
    """A loss as other code writes it. What it means is known when the shape of the data is: :meth:`in_nats`.

    Example:
        >>> import vae_lightning as vl
        >>> print(vl.from_loss("mse_mean", kl="mean"))
        mean (x - xh)² + w mean KL
    """

    reconstruction: Reconstruction
    weight: float | Sequence[float]
    kl: OverUnits
    reconstruction_over_batch: OverBatch
    kl_over_batch: OverBatch
    batch_size: int | None

    def in_nats(self, n_values: int, latent_dim: int | None) -> "LossInNats":
        """Return what it means for rows of ``n_values`` numbers and a code of ``latent_dim`` units.

        Raises:
            UserError: the KL is averaged over units, and their number is not known.
        """
        if self.kl == "mean" and latent_dim is None:
            message = 'from_loss(kl="mean"): the number of units decides what the weight means; give latent_dim'
            raise UserError(message, Code.MISSING, ["latent_dim"])
        of_values = float(n_values) if self.reconstruction.endswith("_mean") else 1.0
        of_units = float(latent_dim) if self.kl == "mean" and latent_dim else 1.0
        over_batch = float(self.batch_size or 1) if self.kl_over_batch != self.reconstruction_over_batch else 1.0
        if self.reconstruction_over_batch == "sum":
            over_batch = 1 / over_batch
        summed = float(self.batch_size or 1) if self.reconstruction_over_batch == "sum" else 1.0
        return LossInNats(self, of_values / of_units * over_batch, of_values / summed, self.likelihood)

    @property
    def likelihood(self) -> Likelihood:
        """How it reads the decoder's values: of a squared error a Gaussian whose -log p is it, up to a constant."""
        if self.reconstruction.startswith("bce"):
            return BernoulliLikelihood()
        return GaussianLikelihood(variance=1.0 if self.reconstruction == "half_mse_sum" else 0.5, mean="identity")

    def __str__(self) -> str:
        kl = "mean KL" if self.kl == "mean" else "KL"
        done = {"sum": "summed", "mean": "averaged"}
        error, of_kl = done[self.reconstruction_over_batch], done[self.kl_over_batch]
        batch = "" if error == of_kl else f", error {error} and KL {of_kl} over the batch"
        return f"{FORMULAS[self.reconstruction]} + w {kl}{batch}"


class Convention(NamedTuple):
    """A loss as other code writes it, and the weight in it that is this configuration."""

    loss: str
    weight: float


class LossInNats(NamedTuple):
    """What a loss means in nats per row."""

    loss: Loss
    factor: float
    """kl_weight = factor x the weight in the loss."""
    nats: float
    """Per row, that 1 of the loss is; of one that is summed over a batch of unknown size, per batch."""
    likelihood: Likelihood
    """Of a squared error a Gaussian: sum (x - xh)^2 is -log p at a variance of 1/2, up to a constant."""

    @property
    def kl_weight(self) -> Weights:
        """The KL weight that the loss's own weight is, or each of several."""
        return np.asarray(np.asarray(self.loss.weight, dtype=np.float64) * self.factor)

    def weight_for(self, kl_weight: float) -> float:
        """Return the weight to write into the loss for a KL weight."""
        return kl_weight / self.factor

    def __str__(self) -> str:
        variance = self.likelihood.variance
        decoder = "Bernoulli" if variance is None else f"Gaussian of variance {variance:g}"
        weights = np.atleast_1d(np.asarray(self.loss.weight, dtype=np.float64))
        if len(weights) > 1:
            return f"{self.loss}: a {decoder}, kl_weight = {self.factor:g} w"
        return f"{self.loss} with w = {weights[0]:g}: a {decoder} at kl_weight {weights[0] * self.factor:g}"


def from_loss(
    reconstruction: Reconstruction,
    *,
    weight: float | Sequence[float] = 1.0,
    kl: OverUnits = "sum",
    reconstruction_over_batch: OverBatch = "mean",
    kl_over_batch: OverBatch | None = None,
    batch_size: int | None = None,
) -> Loss:
    """Return the loss that other code writes, to be given to :func:`forecast` and :func:`diagnose` as ``loss=``.

    Args:
        reconstruction: ``mse_sum`` is sum (x - xh)² over the values of a row, ``half_mse_sum`` half of it, ``mse_mean``
            its mean (``F.mse_loss(xh, x)``); ``bce_sum`` and ``bce_mean`` are the cross-entropy likewise.
        weight: what multiplies the KL in the code; several weights are looked at side by side.
        kl: whether the KL is summed or averaged over the latent units.
        reconstruction_over_batch: whether the reconstruction is averaged or summed over the batch
            (``reduction="sum"`` sums over both values and batch).
        kl_over_batch: the same of the KL; None: as the reconstruction.
        batch_size: of the training, where one of the two is summed over the batch and the other averaged.

    Raises:
        UserError: an argument is none of these, a weight is negative or not finite, or a batch size is missing.

    Example:
        >>> import vae_lightning as vl
        >>> loss = vl.from_loss("bce_mean", weight=1.0)
        >>> print(loss.in_nats(n_values=784, latent_dim=20))
        mean BCE + w KL with w = 1: a Bernoulli at kl_weight 784
        >>> round(loss.in_nats(n_values=784, latent_dim=20).weight_for(kl_weight=1.0), 6)
        0.001276
    """
    kl_over_batch = reconstruction_over_batch if kl_over_batch is None else kl_over_batch
    _check_option("reconstruction", reconstruction, get_args(Reconstruction))
    _check_option("kl", kl, get_args(OverUnits))
    _check_option("reconstruction_over_batch", reconstruction_over_batch, get_args(OverBatch))
    _check_option("kl_over_batch", kl_over_batch, get_args(OverBatch))
    checked_weights(weight, "weight")
    if kl_over_batch != reconstruction_over_batch and not (isinstance(batch_size, int) and batch_size >= 1):
        message = f"batch_size={batch_size}: one of the two is summed over the batch and the other averaged; give how"
        raise UserError(f"{message} many rows a batch of the training has", Code.MISSING, ["batch_size"])
    return Loss(reconstruction, weight, kl, reconstruction_over_batch, kl_over_batch, batch_size)


def checked_weights(weight: float | Sequence[float] | Weights, name: str) -> Weights:
    """Return KL weights as an array of the same shape. Raises UserError unless all are numbers from 0 on."""
    try:
        weights = np.asarray(weight, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"{name}={weight!r}: not a number", Code.INVALID, [name]) from error
    if weights.size == 0 or weights.ndim > 1:
        raise UserError(f"{name}={weight!r}: must be a number or a list of them", Code.INVALID, [name])
    if bad := [value for value in np.atleast_1d(weights).tolist() if not (math.isfinite(value) and value >= 0)]:
        raise UserError(f"{name}={bad[0]:g}: must be a finite number, 0 or above", Code.INVALID, [name])
    return weights


def _check_option(name: str, value: str, valid: Sequence[str]) -> None:
    if value not in valid:
        raise UserError(f"{name}={value!r}: {did_you_mean(str(value), valid)}", Code.INVALID, [name])


def gaussian_conventions(kl_weight: float, variance: float, n_pixels: int, latent_dim: int) -> list[Convention]:
    """Return what ``kl_weight`` and sigma^2 are elsewhere: losses that differ from ours by a factor only.

    Ours is sum (x - xh)^2 / (2 sigma^2) + kl_weight KL. Sums are over pixels or units, all are means over the batch.
    """
    losses = (from_loss("mse_sum"), from_loss("half_mse_sum"), from_loss("mse_mean"), from_loss("mse_mean", kl="mean"))
    return _conventions(losses, kl_weight * variance, n_pixels, latent_dim)


def bernoulli_conventions(kl_weight: float, n_pixels: int, latent_dim: int) -> list[Convention]:
    """Return the same for the cross-entropy of a Bernoulli decoder."""
    losses = (from_loss("bce_sum"), from_loss("bce_mean"), from_loss("bce_mean", kl="mean"))
    return _conventions(losses, kl_weight, n_pixels, latent_dim)


def _conventions(losses: Sequence[Loss], critical: float, n_pixels: int, latent_dim: int) -> list[Convention]:
    """Return the weight in each loss; ``critical`` is the KL weight times the variance, where there is one."""
    read = [loss.in_nats(n_pixels, latent_dim) for loss in losses]
    return [Convention(str(each.loss), each.weight_for(critical / (each.likelihood.variance or 1))) for each in read]
