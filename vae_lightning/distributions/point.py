"""No posterior at all: one code per image, no noise, no KL. The ordinary autoencoder, for comparison."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from vae_lightning.distributions.precision import at_least_float32
from vae_lightning.distributions.shapes import Codes
from vae_lightning.errors import Code, UserError

NO_DENSITY = "posterior=point: a point has no density"


class Point(NamedTuple):
    """All mass on one code per image. It has no density, and so no bound on log p(x): its KL would be infinite."""

    mean: Float[Tensor, "batch latent"]

    def sample(self, noise: Codes) -> Codes:
        return self.mean.expand(noise.shape)

    def sample_with_log_prob(self, noise: Codes) -> tuple[Codes, Codes]:
        raise UserError(NO_DENSITY, Code.INCOMPATIBLE, ["posterior"])

    def kl_per_unit(self) -> Float[Tensor, "batch latent"]:
        """Return zeros: there is no KL term."""
        return torch.zeros_like(self.mean)

    def log_prob_per_unit(self, codes: Float[Tensor, "*codes latent"]) -> Float[Tensor, "*broadcast latent"]:
        raise UserError(NO_DENSITY, Code.INCOMPATIBLE, ["posterior"])

    def detached(self) -> "Point":
        return self._replace(mean=self.mean.detach())


class PointPosterior:
    """Reads an encoder's outputs as the codes.

    Args:
        latent_dim: number of latent units.
    """

    has_density = False
    is_gaussian = False
    has_closed_form_kl = False
    least_batch_size = 1

    def __init__(self, latent_dim: int) -> None:
        self.n_parameters = latent_dim

    def noise(self, shape: tuple[int, ...], generator: Generator) -> Float[Tensor, "..."]:
        """Return zeros, which nothing reads; their shape says how many samples are asked for."""
        return torch.zeros(shape, device=generator.device)

    def __call__(self, parameters: Float[Tensor, "batch outputs"]) -> Point:
        return Point(at_least_float32(parameters))
