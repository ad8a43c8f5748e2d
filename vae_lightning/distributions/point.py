"""No posterior at all: one code per image, no noise, no KL. The ordinary autoencoder, for comparison."""

from typing import NamedTuple, NoReturn

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from vae_lightning.distributions.arithmetic import at_least_float32
from vae_lightning.distributions.shapes import AnyCodes, Codes, Outputs, PerUnit
from vae_lightning.errors import Code, UserError


class Point(NamedTuple):
    """All mass on one code per image. It has no density, and so no bound on log p(x): its KL would be infinite."""

    mean: PerUnit

    def sample(self, noise: Codes) -> Codes:
        return self.mean.expand(noise.shape)

    def sample_with_log_prob(self, noise: Codes) -> NoReturn:
        self.log_prob_per_unit(noise)

    def kl_per_unit(self) -> PerUnit:
        """Return zeros: there is no KL term."""
        return torch.zeros_like(self.mean)

    def log_prob_per_unit(self, codes: AnyCodes) -> NoReturn:
        raise UserError("posterior=point: a point has no density", Code.INCOMPATIBLE, ["posterior"])

    def detached(self) -> "Point":
        return self._replace(mean=self.mean.detach())


class PointPosterior:
    """Reads an encoder's outputs as the codes."""

    has_density = False
    is_gaussian = False
    least_kl_per_unit = 0.0
    least_variance_of_mean = 0.0
    has_closed_form_kl = False
    least_batch_size = 1

    def __init__(self, latent_dim: int) -> None:
        self.n_parameters = latent_dim

    def noise(self, shape: tuple[int, ...], generator: Generator) -> Float[Tensor, "..."]:
        """Return zeros, which nothing reads; their shape says how many samples are asked for."""
        return torch.zeros(shape, device=generator.device)

    def __call__(self, parameters: Outputs) -> Point:
        return Point(at_least_float32(parameters))
