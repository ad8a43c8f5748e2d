"""The evidence lower bound with an analytic KL (Kingma & Welling 2013, equation 7; beta-VAE: Higgins et al. 2017)."""

from collections.abc import Callable
from typing import Annotated

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from vae_lightning.distributions import Likelihood, Posterior
from vae_lightning.objectives.bound import Bound

Decoder = Callable[[Float[Tensor, "batch latent"]], Float[Tensor, "batch channels height width"]]


class Elbo:
    """loss = mean over images of [ -1/L sum_l log p(x|z_l) + w KL(q(z|x) || p(z)) ], z_l ~ q(z|x).

    Args:
        n_samples: L, codes drawn per image.
    """

    def __init__(self, *, n_samples: Annotated[int, Field(ge=1)]) -> None:
        self.n_samples = n_samples

    def __call__(
        self,
        pixels: Float[Tensor, "batch channels height width"],
        posterior: Posterior,
        decoder: Decoder,
        likelihood: Likelihood,
        noise: Float[Tensor, "samples batch latent"],
        kl_weight: float | Float[Tensor, ""],
    ) -> Bound:
        """Return the bound for given noise and KL weight: a pure function of its arguments."""
        codes = posterior.sample(noise)
        values = decoder(codes.flatten(0, 1)).unflatten(0, codes.shape[:2])
        distortion = -likelihood.log_prob(pixels, values).mean(0)
        kl_per_unit = posterior.kl_per_unit()
        loss = distortion.mean() + kl_weight * kl_per_unit.sum(-1).mean()
        return Bound(loss, distortion, kl_per_unit)
