"""The prior p(z) of the codes: what a KL is measured against, and what new images are drawn from."""

import math

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from vae_lightning.distributions.protocols import Posterior, PosteriorFamily

LOG_2PI = math.log(2 * math.pi)


class StandardNormalPrior:
    """N(0, I): independent units of mean 0 and variance 1."""

    factorises = True

    def log_prob_per_unit(self, codes: Float[Tensor, "*shape latent"]) -> Float[Tensor, "*shape latent"]:
        return -0.5 * (codes.square() + LOG_2PI)

    def sample(self, shape: tuple[int, ...], generator: Generator) -> Float[Tensor, "..."]:
        return torch.randn(shape, generator=generator, device=generator.device)

    def kl_per_unit(self, posterior: Posterior) -> Float[Tensor, "batch latent"] | None:
        return posterior.kl_per_unit()

    def has_closed_form_kl(self, family: PosteriorFamily) -> bool:
        return family.has_closed_form_kl

    def kernel_means(self, codes: Float[Tensor, "n latent"], squared_width: float) -> tuple[Float[Tensor, " n"], float]:
        """Return E_p k(z, .) of each code and E_pp k, for k(z, z') = exp(-|z - z'|^2 / (2 h)).

        With d units they are (h/(h+1))^(d/2) exp(-|z|^2 / (2 (h+1))) and (h/(h+2))^(d/2).
        """
        h, latent_dim = squared_width, codes.shape[1]
        normaliser: float = (h / (h + 1)) ** (latent_dim / 2)
        among_prior: float = (h / (h + 2)) ** (latent_dim / 2)
        return normaliser * torch.exp(-codes.square().sum(1) / (2 * (h + 1))), among_prior
