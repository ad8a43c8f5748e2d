"""The prior p(z) of the codes: what a KL is measured against, and what new images are drawn from."""

import math
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from vae_lightning.distributions.posterior import Posterior, PosteriorFamily
from vae_lightning.distributions.shapes import PerUnit

LOG_2PI = math.log(2 * math.pi)
Terms = Float[Tensor, "*shape latent"]
KernelMeans = tuple[Float[Tensor, " n"], float]


def standard_normal(shape: tuple[int, ...], generator: Generator) -> Float[Tensor, "..."]:
    """Draw from N(0, I) on the generator's device."""
    return torch.randn(shape, generator=generator, device=generator.device)


@runtime_checkable
class Prior(Protocol):
    """What the rest of the code asks of p(z). Add one by writing a class that has these."""

    def log_prob_per_unit(self, codes: Terms) -> Terms:
        """Return terms, one per unit, that sum to log p(z) in nats."""

    def sample(self, shape: tuple[int, ...], generator: Generator) -> Float[Tensor, "..."]:
        """Draw codes on the generator's device; the last dimension is the latent one."""

    def kl_per_unit(self, posterior: Posterior) -> PerUnit | None:
        """Return terms, one per unit, that sum to KL(q(z|x) || p(z)) in closed form; None where there is none."""

    def has_closed_form_kl(self, family: PosteriorFamily) -> bool:
        """Return whether :meth:`kl_per_unit` returns a tensor for the posteriors of a family."""

    def kernel_means(self, codes: Float[Tensor, "n latent"], squared_width: float) -> KernelMeans | None:
        """Return the means under p(z) of a Gaussian kernel: with each code, and of two draws; None where unknown."""


class StandardNormalPrior:
    """N(0, I): independent units of mean 0 and variance 1."""

    sample = staticmethod(standard_normal)

    def log_prob_per_unit(self, codes: Terms) -> Terms:
        return -0.5 * (codes.square() + LOG_2PI)

    def kl_per_unit(self, posterior: Posterior) -> PerUnit | None:
        return posterior.kl_per_unit()

    def has_closed_form_kl(self, family: PosteriorFamily) -> bool:
        return family.has_closed_form_kl

    def kernel_means(self, codes: Float[Tensor, "n latent"], squared_width: float) -> KernelMeans:
        """Return E_p k(z, .) of each code and E_pp k, for k(z, z') = exp(-|z - z'|^2 / (2 h)).

        With d units they are (h/(h+1))^(d/2) exp(-|z|^2 / (2 (h+1))) and (h/(h+2))^(d/2).
        """
        h, latent_dim = squared_width, codes.shape[1]
        normaliser: float = (h / (h + 1)) ** (latent_dim / 2)
        among_prior: float = (h / (h + 2)) ** (latent_dim / 2)
        return normaliser * torch.exp(-codes.square().sum(1) / (2 * (h + 1))), among_prior
