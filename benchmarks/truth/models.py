"""Small VAEs in plain loops: trained, planted with a fault, judged, and changed to see what the change brings."""

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from benchmarks.truth.data import Data, Rows
from vae_lightning.diagnostics import (
    MORE_REGIONS,
    ResidualRows,
    Verdict,
    evidence,
    read_in_nats,
    still_falling,
    verdict,
)
from vae_lightning.diagnostics.active_units import THRESHOLD
from vae_lightning.distributions import LocationScale, LocationScalePosterior, gaussian_noise
from vae_lightning.estimates import Mean
from vae_lightning.networks.fully_connected import MLPDecoder, MLPEncoder

BATCH, HIDDEN, LEARNING_RATE = 100, 64, 2e-3
CODES_OF_OBJECTIVE, CODES_OF_RESIDUAL = 16, 8
POINTS = 40
"""Of a training's curve."""
Changed = Callable[["Model"], None]


class Model(NamedTuple):
    """An encoder and a decoder, and the loss that they are trained by."""

    encoder: nn.Module
    decoder: nn.Module
    data: Data
    latent_dim: int
    kl_weight: float
    held: Changed
    """Called after each step: keeps a planted fault."""

    def posterior(self, pixels: Rows) -> LocationScale:
        family = LocationScalePosterior(self.latent_dim, noise=gaussian_noise())
        return family(self.encoder(self.data.likelihood.seen_by_encoder(pixels)))

    def terms(self, pixels: Rows, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return distortion and KL of each image."""
        posterior = self.posterior(pixels)
        codes = posterior.sample(noise)
        values = self.decoder(codes.flatten(0, 1)).unflatten(0, codes.shape[:2])
        return -self.data.likelihood.log_prob(pixels, values).mean(0), posterior.kl_per_unit().sum(1)

    def copied(self) -> "Model":
        return copy.deepcopy(self)


def nothing(model: Model) -> None:
    """Leave a model as it is."""


def built(data: Data, latent_dim: int, kl_weight: float, seed: int) -> Model:
    """Return an untrained model."""
    torch.manual_seed(seed)
    shape = (1, 1, data.training.shape[-1])
    outputs = (data.likelihood.values_per_pixel, 1, data.training.shape[-1])
    encoder = MLPEncoder(shape, 2 * latent_dim, hidden_sizes=[HIDDEN], activation="tanh")
    decoder = MLPDecoder(latent_dim, outputs, hidden_sizes=[HIDDEN], activation="tanh")
    return Model(encoder, decoder, data, latent_dim, kl_weight, nothing)


def train(model: Model, n_steps: int, seed: int, only_decoder: bool = False, cooled: bool = True) -> list[float]:
    """Train in place, and return the curve; ``cooled`` lets the learning rate fall to 0 in the last half."""
    generator = torch.Generator().manual_seed(seed)
    weights = [*model.decoder.parameters(), *([] if only_decoder else model.encoder.parameters())]
    optimizer = torch.optim.Adam(weights, lr=LEARNING_RATE)
    rows, curve, every = model.data.training, [], max(1, n_steps // POINTS)
    total = 0.0
    for step in range(n_steps):
        if cooled:
            optimizer.param_groups[0]["lr"] = LEARNING_RATE * min(1.0, 2 * (1 - step / n_steps))
        batch = rows[torch.randint(0, len(rows), (BATCH,), generator=generator)]
        noise = torch.randn(1, BATCH, model.latent_dim, generator=generator)
        distortion, kl = model.terms(batch, noise)
        loss = (distortion + model.kl_weight * kl).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.held(model)
        total += float(loss.detach())
        if (step + 1) % every == 0:
            curve.append(total / every)
            total = 0.0
    return curve


@torch.no_grad()
def objective(model: Model) -> Float[Tensor, " images"]:
    """Return the training's loss of each held-out row, with the same noise for every model of as many units."""
    generator = torch.Generator().manual_seed(7)
    rows = model.data.test
    noise = torch.randn(CODES_OF_OBJECTIVE, len(rows), model.latent_dim, generator=generator)
    distortion, kl = model.terms(rows, noise)
    return (distortion + model.kl_weight * kl).double()


def improvement(before: Model, after: Model) -> Mean:
    """Return by how much the loss of held-out rows fell, and the standard error of the paired difference."""
    return Mean.of(objective(before) - objective(after))


@torch.no_grad()
def judged(model: Model, curve: list[float]) -> Verdict:
    """Return the verdict on a model, by its held-out rows and its training's curve."""
    data, generator = model.data, torch.Generator().manual_seed(11)
    likelihood, rows = data.likelihood, data.test
    posterior = model.posterior(rows)
    noise = torch.randn(CODES_OF_RESIDUAL + 1, len(rows), model.latent_dim, generator=generator)
    codes = posterior.sample(noise)
    found = [likelihood.score_and_curvature(rows, model.decoder(some)) for some in codes[1:]]
    residuals = ResidualRows(rows[0].numel(), likelihood.values_per_pixel, len(rows))
    residuals.update(torch.arange(len(rows)), *(torch.stack(each) for each in zip(*found, strict=True)))
    prior = torch.randn(2, 1_000, model.latent_dim, generator=generator)
    read = read_in_nats(model.decoder, likelihood, prior[0], prior[1], generator) > THRESHOLD * model.kl_weight
    written = posterior.mean.double().var(0, correction=0) > THRESHOLD
    return verdict(
        evidence(
            residuals.compute(),
            posterior.mean,
            codes[0],
            posterior.kl_per_unit().double().mean(0),
            written=written,
            read=read,
            price=model.kl_weight,
            n_regions=MORE_REGIONS,
            falling=still_falling(curve),
        )
    )


@torch.no_grad()
def with_one_more_unit(model: Model, seed: int) -> Model:
    """Return the model with a fresh unit beside its own, which are as they were."""
    bigger = built(model.data, model.latent_dim + 1, model.kl_weight, seed)
    old, new = model.latent_dim, model.latent_dim + 1
    for ours, theirs in ((bigger.encoder, model.encoder), (bigger.decoder, model.decoder)):
        mine, other = ours.state_dict(), theirs.state_dict()
        for name, value in other.items():
            if mine[name].shape == value.shape:
                mine[name].copy_(value)
            elif mine[name].ndim == 1 or mine[name].shape[1] == value.shape[1]:  # the encoder's outputs
                mine[name][:old].copy_(value[:old])
                mine[name][new : new + old].copy_(value[old:])
            else:  # the decoder's inputs
                mine[name][:, :old].copy_(value)
    return bigger._replace(held=model.held)
