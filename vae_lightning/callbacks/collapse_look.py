"""One look at how a model uses its code, on held rows: KL and activity of each unit, and distortion."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vae_lightning.diagnostics.active_units import THRESHOLD
from vae_lightning.distributions import GaussianLikelihood
from vae_lightning.errors import Code, UserError
from vae_lightning.library.data_forecast import DataForecast
from vae_lightning.library.likelihoods import DecoderGives, Readout, as_likelihood
from vae_lightning.library.models import Model, at_once
from vae_lightning.library.rows import Rows
from vae_lightning.randomness import Stream, generator_for

Floats = npt.NDArray[np.float64]
PER_UNIT = "collapse/kl_per_unit"
MOST_CURVES = 64
"""Units that have a curve of their own."""


class Look(NamedTuple):
    """What one look finds, in nats per row. Units are the code's numbers, or the channels of spatial codes."""

    kl_per_unit: Floats
    variance_of_mean: Floats
    """Over the rows; of spatial codes the mean over a channel's positions."""
    n_latents: int
    """Units times positions."""
    distortion: float | None
    """None where the likelihood is not known."""

    @property
    def active(self) -> npt.NDArray[np.bool_]:
        """Which units are active (Burda et al. 2015)."""
        return self.variance_of_mean > THRESHOLD

    def scalars(self) -> dict[str, float | int]:
        """Return the numbers that become curves, by their names."""
        kl = float(self.kl_per_unit.sum())
        found: dict[str, float | int] = {"kl": kl, "active_units": int(self.active.sum())}
        if self.distortion is not None:
            found |= {"distortion": self.distortion, "elbo": -(self.distortion + kl)}
        return found


class Reader(NamedTuple):
    """How a decoder's answers become a distortion."""

    readout: Readout
    least_variance: float | None
    """Of a Gaussian whose variance is learned: it is judged at its best one, the mean squared error."""

    @classmethod
    def of(cls, forecast: DataForecast, gives: DecoderGives) -> "Reader":
        """Return it for the forecast's likelihood: of logits a Gaussian takes the sigmoid."""
        likelihood = as_likelihood(forecast.likelihood, gives)
        return cls(Readout.of(likelihood, gives), likelihood.least_variance)

    def check(self, outputs: Tensor, rows: Rows) -> None:
        """Raise UserError where the outputs cannot be what they are said to be."""
        self.readout.check(outputs, rows.pixels[: len(outputs)])

    def distortion(self, outputs: Tensor, rows: Rows) -> float:
        """Return -log p(x|z), the mean over rows, in nats. Raises UserError where it is not finite."""
        pixels, likelihood = rows.pixels, self.readout.likelihood
        values = self.readout.values(outputs, tuple(rows.values.shape[1:]))
        if self.least_variance is not None:
            values = likelihood.mean(values)
            variance = max(float((pixels - values).square().mean()), self.least_variance, 1e-12)
            likelihood = GaussianLikelihood(variance=variance, mean="identity")
        found = -float(likelihood.log_prob(pixels, values).double().mean())
        if not math.isfinite(found):
            raise UserError(f"decode: the distortion is {found}, which is not finite", Code.NOT_FINITE, ["decode"])
        return found


@torch.no_grad()
def look_at(model: Model, rows: Rows, reader: Reader | None, *, check: bool) -> Look:
    """Return what a model does with some rows; one code of each is decoded, with the same noise at every look.

    Raises:
        UserError: the model gives what cannot be read, or numbers that are not finite.
    """
    encoded = model.encoded(rows.values)
    code_shape = tuple(encoded.mean.shape[1:])
    posterior = encoded.posterior
    n_latents, n_positions = posterior.mean.shape[1], math.prod(code_shape[1:])
    kl = posterior.kl_per_unit().double().mean(0).unflatten(0, (-1, n_positions)).sum(1)
    variance = posterior.mean.double().var(0, correction=0).unflatten(0, (-1, n_positions)).mean(1)
    distortion = None
    if reader is not None:
        noise = posterior.standard.draw((1, *posterior.mean.shape), generator_for(0, Stream.EVALUATION_NOISE))
        pieces = posterior.sample(noise)[0].split(at_once(rows.values[0].numel()))
        model = model._replace(code_shape=code_shape)
        outputs = torch.cat([model.decoded(piece).flatten(1).float().cpu() for piece in pieces])
        if check:
            reader.check(outputs, rows)
        distortion = reader.distortion(outputs, rows)
    return Look(kl.numpy(), variance.numpy(), n_latents, distortion)


def log_look(loggers: Iterable[Any], look: Look, step: int) -> None:
    """Log what was found to every logger: numbers, and a histogram over units where W&B or TensorBoard shows one."""
    numbers: dict[str, Any] = {f"collapse/{name}": value for name, value in look.scalars().items()}
    numbers |= {f"{PER_UNIT}/{unit}": float(kl) for unit, kl in enumerate(look.kl_per_unit[:MOST_CURVES])}
    for logger in loggers:
        # By name: a Trainer of pytorch_lightning has loggers of other classes than one of lightning.pytorch.
        kinds = {kind.__name__ for kind in type(logger).__mro__}
        if "WandbLogger" in kinds:
            import wandb

            # In the one row with the numbers, so that W&B's own count of steps stays in order.
            logger.log_metrics({**numbers, PER_UNIT: wandb.Histogram(look.kl_per_unit.tolist())}, step)
            continue
        logger.log_metrics(numbers, step)
        if "TensorBoardLogger" in kinds:
            logger.experiment.add_histogram(PER_UNIT, look.kl_per_unit, step)
