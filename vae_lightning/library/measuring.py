"""What a foreign model answers to some rows: one pass, from which everything of a diagnosis is computed."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.diagnostics import Residuals, ResidualSpectrum, decoder_sensitivity, read_in_nats, residual_spectrum
from vae_lightning.diagnostics.implied_weight import Balance, balance
from vae_lightning.diagnostics.residual import joined, kept_images, residuals_of_batch
from vae_lightning.distributions import LocationScale, StandardNormalPrior
from vae_lightning.errors import UserError
from vae_lightning.library.likelihoods import Readout
from vae_lightning.library.models import Model, at_once
from vae_lightning.library.rows import Rows, spread
from vae_lightning.randomness import Stream, generator_for

N_CODES = 8
"""Of each row, for the residual test: as `vae-evaluate` has."""
N_BALANCED = 1_000
"""Rows by which the weight of the training is told."""
N_PRIOR = 1_000
"""Codes from the prior on which the decoder is measured."""
MOST_NUMBERS = 20_000_000
"""Of what is decoded for one question."""
Codes = Float[Tensor, "rows latent"]
PerUnit = Float[Tensor, " units"]


@dataclass(frozen=True)
class Measured:
    """A model and its answers, in nats per row. Latents are units, or channels x positions."""

    rows: Rows
    readout: Readout
    posterior: LocationScale
    noise: Float[Tensor, "1 rows latent"]
    code_shape: tuple[int, ...]
    distortion: Float[Tensor, " rows"]
    mean_squared_error: float
    """Mean over values and codes of (x - E[x|z])^2."""
    kl: Float[Tensor, "rows latent"]
    residuals: Residuals
    residual: ResidualSpectrum
    read: PerUnit
    """What the decoder reads of each unit, in nats."""
    output_variance_ratio: float
    balance: Balance | None
    """None where the decoder gives no derivatives."""
    notes: tuple[str, ...]
    """What is strange about the decoder's outputs."""

    @property
    def n_positions(self) -> int:
        """How many positions each unit has: 1 unless codes are spatial, channels first."""
        return math.prod(self.code_shape[1:])

    @property
    def codes(self) -> Codes:
        """One draw from the posterior of each row."""
        return self.posterior.sample(self.noise)[0]

    def over_positions(self, per_latent: Float[Tensor, " latent"]) -> Float[Tensor, "units positions"]:
        """Return a number of each latent as units x positions."""
        found: Tensor = per_latent.unflatten(0, (-1, self.n_positions))
        return found


def measured(model: Model, rows: Rows, readout: Readout, seed: int) -> Measured:
    """Go through the rows once. Raises UserError where a function gives what cannot be read."""
    model.check_at_rest(rows.values)
    encoded = model.encoded(rows.values)
    model = model._replace(code_shape=tuple(encoded.mean.shape[1:]))
    posterior = encoded.posterior
    n, latent_dim = posterior.mean.shape
    noise, more = (
        posterior.standard.draw((n_samples, n, latent_dim), generator_for(seed, stream))
        for n_samples, stream in ((1, Stream.EVALUATION_NOISE), (N_CODES, Stream.RESIDUAL_NOISE))
    )
    first, few = posterior.sample(noise)[0], at_once(rows.values[0].numel())
    with torch.no_grad():
        model.check_decoder_at_rest(first)
        notes = readout.check(model.decoded(first[:few]), rows.pixels[:few])
    distortion, squared_error, residuals = _pass(model, rows, readout, posterior, first, more)
    residual = residual_spectrum(residuals)
    n_positions = int(posterior.mean[0].numel() // encoded.mean.shape[1])
    read, output_variance_ratio = _read(model, rows, readout, residual, latent_dim, n_positions, seed)
    return Measured(
        rows=rows,
        readout=readout,
        posterior=posterior,
        noise=noise,
        code_shape=model.code_shape,
        distortion=distortion,
        mean_squared_error=squared_error,
        kl=posterior.kl_per_unit(),
        residuals=residuals,
        residual=residual,
        read=read,
        output_variance_ratio=output_variance_ratio,
        balance=_balance(model, rows, readout, posterior, more[:2]),
        notes=notes,
    )


def _values(model: Model, readout: Readout, codes: Codes, rows: Rows) -> Tensor:
    """Return the likelihood's values of some codes, back where the data are."""
    return readout.values(model.decoded(codes).cpu(), tuple(rows.values.shape[1:]))


@torch.no_grad()
def _pass(
    model: Model, rows: Rows, readout: Readout, posterior: LocationScale, first: Codes, more: Tensor
) -> tuple[Float[Tensor, " rows"], float, Residuals]:
    """Return the distortion of one code of each row, their mean squared error, and the residuals of several codes."""
    pixels, likelihood = rows.pixels, readout.likelihood
    n, n_places = len(pixels), pixels[0].numel()
    kept = kept_images(n_places * likelihood.values_per_pixel, n)
    distortion, residuals, squares = [], [], 0.0
    for these in torch.arange(n).split(at_once(n_places)):
        shown = pixels[these]
        values = _values(model, readout, first[these], rows)
        distortion.append(-likelihood.log_prob(shown, values))
        squares += float((shown - likelihood.mean(values)).square().sum(dtype=torch.float64))
        mean, log_squared_scale = posterior.mean[these], posterior.log_squared_scale[these]
        codes = LocationScale(mean, log_squared_scale, posterior.standard).sample(more[:, these])
        found = [likelihood.score_and_curvature(shown, _values(model, readout, each, rows)) for each in codes]
        scores, curvatures = (torch.stack(of_samples) for of_samples in zip(*found, strict=True))
        residuals.append(residuals_of_batch(these, scores, curvatures, likelihood.values_per_pixel, kept))
    return torch.cat(distortion), squares / pixels.numel(), joined(residuals, n)


@torch.no_grad()
def _read(
    model: Model,
    rows: Rows,
    readout: Readout,
    residual: ResidualSpectrum,
    latent_dim: int,
    n_positions: int,
    seed: int,
) -> tuple[PerUnit, float]:
    """Return what the decoder reads of each unit, and how much of the data's variance its means have."""
    n_places, likelihood, prior = rows.values[0].numel(), readout.likelihood, StandardNormalPrior()
    codes, redrawn = (
        prior.sample((N_PRIOR, latent_dim), generator_for(seed, Stream.SENSITIVITY_CODES, index)) for index in range(2)
    )
    n_codes = min(N_PRIOR, max(100, MOST_NUMBERS // (latent_dim // n_positions * n_places)))

    def values(some: Codes) -> Tensor:
        return torch.cat([_values(model, readout, piece, rows) for piece in some.split(at_once(n_places))])

    def means(some: Codes) -> Tensor:
        return likelihood.mean(values(some))

    flat = rows.some(N_PRIOR).flatten(1).double()
    data_variance = float(flat.var(0, correction=0).sum())
    variance = residual.pixel_variance if likelihood.score_is_natural else None
    found = decoder_sensitivity(means, codes[:n_codes], redrawn[:n_codes], variance, data_variance, n_positions)
    paid = found.paid_per_unit
    if variance is None:
        generator = generator_for(seed, Stream.SENSITIVITY_CODES, 2)
        paid = read_in_nats(values, likelihood, codes[:n_codes], redrawn[:n_codes], generator, n_positions)
    return paid, found.output_variance_ratio


def _balance(
    model: Model, rows: Rows, readout: Readout, posterior: LocationScale, noise: Float[Tensor, "samples rows latent"]
) -> Balance | None:
    """Return both sides of the balance by which the weight of the training is told."""
    pixels, found = rows.pixels, []
    n_places = pixels[0].numel()
    for these in spread(len(pixels), N_BALANCED).split(at_once(n_places)):
        squared = posterior.log_squared_scale[these].exp()
        offsets = squared.sqrt() * noise[:, these]
        with torch.enable_grad():
            codes = (posterior.mean[these] + offsets).requires_grad_()
            try:
                values = _values(model, readout, codes.flatten(0, 1), rows).unflatten(0, codes.shape[:2])
                distortion = -readout.likelihood.log_prob(pixels[these], values)
                found.append(balance(distortion, codes, offsets, squared, posterior.standard.variance))
            except (UserError, RuntimeError):  # it gives no derivatives: through numpy, under no_grad, or by integers
                return None
    return Balance(*(torch.cat(sides) for sides in zip(*found, strict=True)))
