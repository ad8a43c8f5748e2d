"""The Gaussian posterior with a full covariance, by its Cholesky factor (Kingma & Welling 2019, section 2.5.1)."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae_lightning.distributions.arithmetic import at_least_float32, without_autocast
from vae_lightning.distributions.prior import LOG_2PI, standard_normal
from vae_lightning.distributions.shapes import AnyCodes, AnyTerms, Codes, Outputs, PerUnit


class FullGaussian(NamedTuple):
    """q(z|x) = N(mean, S S') for a batch of images.

    What is said of a unit is said given the units before it, q(z_i | z_1 .. z_{i-1}, x): by the chain rule these
    terms sum to the whole, for the log-density and (the prior having independent units) for the KL.
    """

    mean: PerUnit
    log_diagonal: PerUnit
    """ln S_ii."""
    below: Float[Tensor, "batch latent latent"]
    """S_ij for j < i, else 0."""

    @property
    def scale_tril(self) -> Float[Tensor, "batch latent latent"]:
        return self.below + torch.diag_embed(self.log_diagonal.exp())

    def sample(self, noise: Codes) -> Codes:
        with without_autocast(noise):
            return self.mean + torch.einsum("bij,sbj->sbi", self.scale_tril, noise)

    def sample_with_log_prob(self, noise: Codes) -> tuple[Codes, Codes]:
        return self.sample(noise), -0.5 * (noise.square() + LOG_2PI) - self.log_diagonal

    def kl_per_unit(self) -> PerUnit:
        """Return E KL(q(z_i | z_1 .. z_{i-1}, x) || N(0, 1)) in nats."""
        log_variance = 2 * self.log_diagonal
        explained = self.below.square().sum(-1)
        return 0.5 * (self.mean.square() + explained + (torch.expm1(log_variance) - log_variance))

    def log_prob_per_unit(self, codes: AnyCodes) -> AnyTerms:
        offsets = (codes - self.mean).unsqueeze(-1)
        standardised = torch.linalg.solve_triangular(self.scale_tril, offsets, upper=False).squeeze(-1)
        terms: Tensor = -0.5 * (standardised.square() + LOG_2PI) - self.log_diagonal
        return terms

    def detached(self) -> "FullGaussian":
        return FullGaussian(*(tensor.detach() for tensor in self))


class FullCovariancePosterior(nn.Module):
    """Reads an encoder's outputs as means, log diagonal of the Cholesky factor, then what lies below it by rows."""

    has_density = True
    is_gaussian = True
    least_kl_per_unit = 0.0
    least_variance_of_mean = 0.0
    has_closed_form_kl = True
    least_batch_size = 1
    noise = staticmethod(standard_normal)
    places: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.n_parameters = latent_dim * (latent_dim + 3) // 2
        n_below = latent_dim * (latent_dim - 1) // 2
        places = torch.full((latent_dim, latent_dim), n_below)  # n_below: the place of a zero put after the others
        places[tuple(torch.tril_indices(latent_dim, latent_dim, offset=-1))] = torch.arange(n_below)
        self.register_buffer("places", places, persistent=False)

    def forward(self, parameters: Outputs) -> FullGaussian:
        parameters = at_least_float32(parameters)
        mean, log_diagonal = parameters[:, : self.latent_dim], parameters[:, self.latent_dim : 2 * self.latent_dim]
        values = torch.nn.functional.pad(parameters[:, 2 * self.latent_dim :], (0, 1))
        return FullGaussian(mean, log_diagonal, values[:, self.places])
