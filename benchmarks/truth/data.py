"""Synthetic data of known structure, with the likelihood that fits them."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.distributions import BernoulliLikelihood, GaussianLikelihood, Likelihood, PoissonLikelihood

N_TRAINING, N_TEST = 4_000, 4_000
Rows = Float[Tensor, "rows 1 1 dimension"]


class Data(NamedTuple):
    """Rows to train on and rows to judge by, and how they are to be read."""

    name: str
    training: Rows
    test: Rows
    likelihood: Likelihood


def data_named(name: str, seed: int) -> Data:
    """Return a data set of a kind, drawn by a seed."""
    generator = torch.Generator().manual_seed(1_000 + seed)
    rows, likelihood = KINDS[name](generator)
    rows = rows.reshape(len(rows), 1, 1, -1)
    return Data(name, rows[:N_TRAINING], rows[N_TRAINING:], likelihood)


Drawn = tuple[Tensor, Likelihood]
N = N_TRAINING + N_TEST


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator)


def factors(generator: torch.Generator) -> Drawn:
    """Four factors of falling strength in twelve dimensions, seen through noise of variance 1."""
    basis = torch.linalg.qr(_normal(generator, 12, 12)).Q[:4] * torch.tensor([[3.5], [2.5], [1.8], [1.3]])
    return _normal(generator, N, 4) @ basis + _normal(generator, N, 12), GaussianLikelihood(
        variance=1.0, mean="identity"
    )


def clusters(generator: torch.Generator) -> Drawn:
    """Four clusters in sixteen dimensions, each with one direction of its own: a third unit can tell all of them."""
    centres = torch.linalg.qr(_normal(generator, 16, 16)).Q
    of_row = torch.randint(0, 4, (N,), generator=generator)
    places = torch.tensor([[7.0, 7.0], [7.0, -7.0], [-7.0, 7.0], [-7.0, -7.0]])[of_row] @ centres[:2]
    along = centres[2 + of_row] * (2.0 * _normal(generator, N, 1))
    noise = 0.7 * _normal(generator, N, 16)
    return places + along + noise, GaussianLikelihood(variance=1.0, mean="identity")


def curved(generator: torch.Generator) -> Drawn:
    """Three factors bent by a tanh into fifteen dimensions."""
    bent = torch.tanh(_normal(generator, N, 3) @ _normal(generator, 3, 15) * 0.8)
    return 2.0 * bent + _normal(generator, N, 15), GaussianLikelihood(variance=1.0, mean="identity")


def bits(generator: torch.Generator) -> Drawn:
    """Twenty bits whose logits follow three factors."""
    logits = _normal(generator, N, 3) @ (_normal(generator, 3, 20) * torch.tensor([[1.8], [1.2], [0.8]]))
    return torch.bernoulli(torch.sigmoid(logits), generator=generator), BernoulliLikelihood()


def counts(generator: torch.Generator) -> Drawn:
    """Fifteen counts whose log rates follow two factors."""
    rates = (1.0 + _normal(generator, N, 2) @ _normal(generator, 2, 15) * 0.5).clamp_max(4).exp()
    return torch.poisson(rates, generator=generator), PoissonLikelihood()


KINDS: dict[str, Callable[[torch.Generator], Drawn]] = {
    kind.__name__: kind for kind in (factors, clusters, curved, bits, counts)
}
