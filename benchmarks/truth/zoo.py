"""The zoo: which models there are, and which fault is planted in each."""

from collections.abc import Iterator
from functools import partial
from typing import Literal, NamedTuple

import torch

from benchmarks.truth.data import KINDS, data_named
from benchmarks.truth.models import Model, built, nothing, train

Fault = Literal["none", "short", "dead", "cut", "twice"]
STEPS, SHORT = 2_500, 200


class Animal(NamedTuple):
    """A model of the zoo."""

    kind: str
    latent_dim: int
    kl_weight: float
    fault: Fault
    seed: int


def zoo() -> Iterator[Animal]:
    """Yield all of them."""
    for seed, kind in enumerate(KINDS):
        for latent_dim in (1, 2, 3, 5):
            for kl_weight in (0.5, 1.0, 3.0):
                yield Animal(kind, latent_dim, kl_weight, "none", seed)
        for latent_dim, kl_weight in ((2, 30.0), (4, 30.0)):
            yield Animal(kind, latent_dim, kl_weight, "none", seed)
        for latent_dim, kl_weight in ((2, 1.0), (3, 0.5), (5, 1.0)):
            yield Animal(kind, latent_dim, kl_weight, "short", seed)
        for latent_dim, kl_weight in ((2, 0.5), (3, 1.0), (5, 0.5), (4, 1.0)):
            yield Animal(kind, latent_dim, kl_weight, "dead", seed)
        yield Animal(kind, 3, 0.5, "cut", seed)
        yield Animal(kind, 3, 0.5, "twice", seed)


def planted(animal: Animal) -> tuple[Model, list[float]]:
    """Return a model of the zoo, trained and with its fault, and the curve of its training."""
    data = data_named(animal.kind, animal.seed)
    model = built(data, animal.latent_dim, animal.kl_weight, animal.seed)
    if animal.fault == "short":
        return model, train(model, SHORT, animal.seed, cooled=False)
    if animal.fault == "dead":  # all but one unit, from the start: as of units that never find their way
        model = model._replace(held=partial(_dead, n_units=animal.latent_dim))
        model.held(model)
        return model, train(model, STEPS, animal.seed)
    curve = train(model, STEPS, animal.seed)
    if animal.fault == "cut":
        _cut(model)
    if animal.fault == "twice":
        _double(model)
    return model, curve


@torch.no_grad()
def _dead(model: Model, n_units: int) -> None:
    """Hold units 1 to ``n_units`` - 1 at the prior, unread; the first, and one that was added later, are free."""
    last = list(model.encoder.state_dict().values())[-2:]
    first = next(iter(model.decoder.state_dict().values()))
    for values in last:
        values[1:n_units] = 0
        values[model.latent_dim + 1 : model.latent_dim + n_units] = 0
    first[:, 1:n_units] = 0


@torch.no_grad()
def _cut(model: Model) -> None:
    """Let the decoder read nothing of the liveliest unit."""
    kl = model.posterior(model.data.test).kl_per_unit().mean(0)
    first = next(iter(model.decoder.state_dict().values()))
    first[:, int(kl.argmax())] = 0


@torch.no_grad()
def _double(model: Model) -> None:
    """Let the least lively unit tell what the liveliest tells, and the decoder read half of each."""
    kl = model.posterior(model.data.test).kl_per_unit().mean(0)
    most, least, k = int(kl.argmax()), int(kl.argmin()), model.latent_dim
    for values in list(model.encoder.state_dict().values())[-2:]:
        values[least], values[k + least] = values[most], values[k + most]
    first = next(iter(model.decoder.state_dict().values()))
    first[:, most] /= 2
    first[:, least] = first[:, most]


def freed(model: Model) -> Model:
    """Return a copy whose fault nothing holds any more."""
    return model.copied()._replace(held=nothing)
