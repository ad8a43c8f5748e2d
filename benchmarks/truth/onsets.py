"""``python -m benchmarks.truth.onsets``: does a first unit come alive where the forecast says, for every likelihood?

Each data set is trained at KL weights about the forecast's largest critical weight, from a decoder that is the best one
without a code: by the theory KL grows below it and not above.
"""

import argparse
import copy
import csv
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console
from torch import Tensor, nn

from benchmarks.truth.data import Data
from benchmarks.truth.models import Model, built
from vae_lightning.data import Images
from vae_lightning.distributions import (
    BernoulliLikelihood,
    CategoricalLikelihood,
    DiscretizedLogisticLikelihood,
    GaussianLikelihood,
    GaussianPerPixelLikelihood,
    Likelihood,
    NegativeBinomialLikelihood,
    PoissonLikelihood,
    StudentTLikelihood,
)
from vae_lightning.theory import Forecast, forecast, pixel_moments
from vae_lightning.theory.code_free import best_code_free

N = 8_000
BATCH, LEARNING_RATE, STEPS = 500, 2e-3, 6_000
ABOUT = (1.1, 0.9, 0.8)
"""Weights at which is trained, as shares of the forecast."""
ALIVE = 0.01
"""Nats of KL from which a unit is alive."""
OF_WEIGHTS = tuple(f"kl_at_{share:g}" for share in ABOUT)
HEAD = ("data", "likelihood", "forecast", "new_data", "new_data_error", *OF_WEIGHTS, "seconds")


class Onset(NamedTuple):
    """What was foretold of a first unit, and the KL that it had about there."""

    data: str
    likelihood: str
    critical: float
    held_out: float
    error: float
    kl: list[float]
    seconds: float


def _normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def two_factors() -> Tensor:
    """Return six-dimensional rows made of two factors."""
    return _normal(N, 2, seed=1) @ (0.7 * _normal(2, 6, seed=2))


def digits() -> Tensor:
    """Return scikit-learn's digits: 64 pixels of 0 to 16."""
    from sklearn.datasets import load_digits

    return torch.from_numpy(load_digits().data).float()


def breast_cancer() -> Tensor:
    """Return scikit-learn's breast cancer table: 30 columns, standardised, their logs where they are sizes."""
    from sklearn.datasets import load_breast_cancer

    rows = torch.from_numpy(load_breast_cancer().data).float().add(1e-3).log()
    return (rows - rows.mean(0)) / rows.std(0)


def student() -> StudentTLikelihood:
    return StudentTLikelihood(degrees_of_freedom=4.0, initial_scale=0.7, min_log_scale=-6.0, mean="identity")


def per_pixel() -> GaussianPerPixelLikelihood:
    return GaussianPerPixelLikelihood(min_log_sigma=-6.0, mean="identity")


def cases() -> Iterator[tuple[str, str, Tensor, Likelihood]]:
    """Yield data and likelihoods that fit them."""
    h, noise = two_factors(), torch.Generator().manual_seed(3)
    real = h + _normal(N, 6, seed=4)
    heavy = h + 0.7 * torch.distributions.StudentT(4.0).sample((N, 6))
    grey = (torch.sigmoid(h + 0.5 * _normal(N, 6, seed=5)) * 255).round() / 255
    gamma = torch._standard_gamma(torch.full((N, 6), 3.0)) / 3
    classes = torch.stack([torch.zeros_like(h), h, -h], dim=-1)
    yield "factors", "gaussian", real, GaussianLikelihood(variance=1.0, mean="identity")
    yield "factors", "gaussian_per_pixel", real, per_pixel()
    yield "factors", "student_t", heavy, student()
    yield "factors", "bernoulli", torch.bernoulli(torch.sigmoid(1.5 * h), generator=noise), BernoulliLikelihood()
    yield "factors", "poisson", torch.poisson((1 + 0.6 * h).exp(), generator=noise), PoissonLikelihood()
    dispersed = torch.poisson((1 + 0.6 * h).exp() * gamma, generator=noise)
    yield "factors", "negative_binomial", dispersed, NegativeBinomialLikelihood(initial_dispersion=3.0)
    drawn = torch.distributions.Categorical(logits=classes).sample().float()
    yield "factors", "categorical", drawn, CategoricalLikelihood(n_classes=3)
    yield "factors", "discretized_logistic", grey, DiscretizedLogisticLikelihood(initial_scale=0.1)
    pixels = digits()
    yield "digits", "gaussian", pixels / 16, GaussianLikelihood(variance=0.05, mean="identity")
    yield "digits", "bernoulli", (pixels > 7).float(), BernoulliLikelihood()
    yield "digits", "poisson", pixels, PoissonLikelihood()
    yield "digits", "negative_binomial", pixels, NegativeBinomialLikelihood(initial_dispersion=3.0)
    yield "digits", "categorical", (pixels / 5).round(), CategoricalLikelihood(n_classes=4)
    table = breast_cancer()
    yield "breast cancer", "gaussian", table, GaussianLikelihood(variance=0.5, mean="identity")
    yield "breast cancer", "student_t", table, student()
    yield "breast cancer", "gaussian_per_pixel", table, per_pixel()


def onset_of(name: str, label: str, rows: Tensor, likelihood: Likelihood) -> Onset:
    """Foretell a first unit, and train about there."""
    started = time.monotonic()
    rows = rows.reshape(len(rows), 1, 1, -1)
    moments = pixel_moments(Images(rows, torch.zeros(len(rows), dtype=torch.long)), "none")
    found = forecast(moments, likelihood, 1)
    if not isinstance(found, Forecast):
        raise TypeError(found.reason)
    code_free = best_code_free(moments, likelihood)
    critical = float(found.critical_weights[0])
    kl = []
    for share in ABOUT:
        data = Data(name, rows, rows, copy.deepcopy(code_free.likelihood))
        kl.append(trained_kl(built(data, 1, share * critical, seed=0), code_free.values))
    if found.held_out is None:
        raise TypeError("too few rows")
    on_new_data, error = (float(each[0]) for each in found.held_out)
    return Onset(name, label, critical, on_new_data, error, kl, time.monotonic() - started)


def trained_kl(model: Model, values: Tensor) -> float:
    """Train from the best values without a code, and return the KL at the end."""
    weights = [*model.encoder.parameters(), *model.decoder.parameters()]
    likelihood = model.data.likelihood
    own: Callable[[], list[nn.Parameter]] = getattr(likelihood, "parameters", list)
    last = [module for module in model.decoder.modules() if isinstance(module, nn.Linear)][-1]
    with torch.no_grad():
        last.weight.mul_(0.1)
        last.bias.copy_(values.flatten().float())
    if isinstance(likelihood, nn.Module):
        likelihood.float()
    optimizer = torch.optim.Adam([*weights, *own()], lr=LEARNING_RATE)
    generator, rows = torch.Generator().manual_seed(1), model.data.training
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * min(1.0, 2 * (1 - step / STEPS))
        batch = rows[torch.randint(0, len(rows), (BATCH,), generator=generator)]
        distortion, kl = model.terms(batch, torch.randn(1, BATCH, model.latent_dim, generator=generator))
        optimizer.zero_grad()
        (distortion + model.kl_weight * kl).mean().backward()
        optimizer.step()
    with torch.no_grad():
        return float(model.posterior(rows).kl_per_unit().sum(1).mean())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.truth.onsets", description=__doc__)
    parser.add_argument("--output", type=Path, help="write a line for each case there, as CSV")
    parser.add_argument("--first", type=int, default=0, help="begin at this case")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    console, found = Console(markup=False, highlight=False), []
    for case in list(cases())[options.first :]:
        found.append(onset_of(*case))
        console.print(*line(found[-1]), soft_wrap=True)
        if options.output:
            with options.output.open("w", newline="") as stream:
                csv.writer(stream, lineterminator="\n").writerows([HEAD, *map(line, found)])


def line(onset: Onset) -> list[str]:
    """Return an onset as text, in the order of ``HEAD``."""
    numbers = [onset.critical, onset.held_out, onset.error]
    kl = [f"{nats:.4f}" for nats in onset.kl]
    return [onset.data, onset.likelihood, *(f"{number:.4g}" for number in numbers), *kl, f"{onset.seconds:.0f}"]


if __name__ == "__main__":
    main()
