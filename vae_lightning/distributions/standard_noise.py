"""Standard distributions that a location and a scale move: Gaussian, Laplace, logistic, Student's t.

Draws are functions of a generator alone, so that noise stays a function of (seed, step).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Generator, Tensor

from vae_lightning.distributions.prior import LOG_2PI, standard_normal

DegreesOfFreedom = Annotated[float, Field(gt=2, le=1e6)]
"""Of Student's t: at 2 and below its variance is infinite; far above 1e6 the formulas lose their digits."""


@dataclass(frozen=True)
class StandardNoise:
    """A symmetric distribution with location 0 and scale 1."""

    draw: Callable[[tuple[int, ...], Generator], Tensor]
    log_prob: Callable[[Tensor], Tensor]
    variance: float
    entropy: float
    """In nats."""

    @property
    def divergence(self) -> float:
        """KL(noise || N(0, 1)) in nats: E[x^2] / 2 + ln(2 pi) / 2 - entropy."""
        return 0.5 * (self.variance + LOG_2PI) - self.entropy


def gaussian_noise() -> StandardNoise:
    """Return N(0, 1)."""
    return StandardNoise(
        draw=standard_normal,
        log_prob=lambda x: -0.5 * (x.square() + LOG_2PI),
        variance=1.0,
        entropy=0.5 * (1 + LOG_2PI),
    )


def exponential(shape: tuple[int, ...], generator: Generator) -> Float[Tensor, "..."]:
    return torch.empty(shape, device=generator.device).exponential_(generator=generator)


def laplace_noise() -> StandardNoise:
    """Return the density exp(-|x|) / 2, drawn as the difference of two exponentials."""
    return StandardNoise(
        draw=lambda shape, generator: exponential(shape, generator) - exponential(shape, generator),
        log_prob=lambda x: -x.abs() - math.log(2),
        variance=2.0,
        entropy=1 + math.log(2),
    )


def logistic_noise() -> StandardNoise:
    """Return the density exp(-x) / (1 + exp(-x))^2, drawn as the log of the ratio of two exponentials."""
    return StandardNoise(
        draw=lambda shape, generator: exponential(shape, generator).log() - exponential(shape, generator).log(),
        log_prob=lambda x: torch.nn.functional.logsigmoid(x) + torch.nn.functional.logsigmoid(-x),
        variance=math.pi**2 / 3,
        entropy=2.0,
    )


def student_t_noise(*, degrees_of_freedom: DegreesOfFreedom) -> StandardNoise:
    """Return Student's t with nu degrees of freedom, drawn by Bailey's polar method (Bailey 1994).

    At nu <= 2 its variance, and so its KL from the Gaussian prior, is infinite; far above 1e6 the formulas lose their
    digits, and it is a Gaussian long before.
    """
    nu = degrees_of_freedom
    log_normaliser = math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2) - 0.5 * math.log(nu * math.pi)
    digammas = torch.digamma(torch.tensor([(nu + 1) / 2, nu / 2], dtype=torch.float64)).tolist()

    def draw(shape: tuple[int, ...], generator: Generator) -> Tensor:
        # U^(-2/nu) - 1 with U = exp(-E): the radius becomes Box and Muller's as nu grows.
        radius = (nu * torch.expm1(exponential(shape, generator) * (2 / nu))).sqrt()
        angle = 2 * math.pi * torch.rand(shape, generator=generator, device=generator.device)
        return radius * angle.cos()

    return StandardNoise(
        draw=draw,
        log_prob=lambda x: log_normaliser - 0.5 * (nu + 1) * torch.log1p(x.square() / nu),
        variance=nu / (nu - 2),
        entropy=0.5 * (nu + 1) * (digammas[0] - digammas[1]) - log_normaliser,
    )
