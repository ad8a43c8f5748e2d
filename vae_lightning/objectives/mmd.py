"""InfoVAE: holds the aggregate posterior, not each image's, to the prior by a maximum mean discrepancy."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from vae_lightning.distributions.precision import without_autocast
from vae_lightning.errors import UserError
from vae_lightning.objectives.elbo import Elbo, KlTerms, NonNegative, NSamples
from vae_lightning.objectives.estimators import Estimator
from vae_lightning.ranks import gathered_over_ranks
from vae_lightning.training_step import TrainingStep


class Mmd(Elbo):
    """loss = distortion + w (1 - alpha) KL + (alpha + lambda - 1) MMD^2(q(z), p(z)) (Zhao et al. 2017, eq. 6).

    q(z) is the aggregate posterior of the global batch. alpha = 1 leaves no KL; with posterior=point it is the
    Wasserstein autoencoder with an MMD penalty (Tolstikhin et al. 2018).

    Args:
        estimator: of the encoder's gradient; the MMD needs gradients that run through the codes.
        n_samples: codes drawn per image; the MMD is averaged over them.
        alpha: how much of the KL is given up.
        lambda_: weight of the MMD, in nats per unit of MMD^2.
        bandwidth: the kernel is exp(-|z - z'|^2 / (2 bandwidth latent_dim)).
    """

    def __init__(
        self,
        estimator: Estimator,
        *,
        n_samples: NSamples,
        alpha: Annotated[float, Field(le=1, allow_inf_nan=False)],
        lambda_: NonNegative,
        bandwidth: Annotated[float, Field(gt=0, allow_inf_nan=False)],
    ) -> None:
        super().__init__(estimator, n_samples=n_samples)
        if alpha + lambda_ < 1:
            raise UserError(
                f"objective.lambda_={lambda_:g}: with objective.alpha={alpha:g} the MMD would be rewarded; "
                f"it must be at least {1 - alpha:g}"
            )
        self.alpha = alpha
        self.lambda_ = lambda_
        self.bandwidth = bandwidth

    def penalty(
        self,
        kl: KlTerms,
        kl_weight: float | Float[Tensor, ""],
        codes: Float[Tensor, "samples batch latent"],
        at: TrainingStep,
    ) -> Float[Tensor, ""]:
        distance = torch.stack([mmd_from_prior(gathered_over_ranks(of_batch), self.bandwidth) for of_batch in codes])
        kept = (1 - self.alpha) * kl.in_loss.mean(0).sum()
        return kl_weight * kept + (self.alpha + self.lambda_ - 1) * distance.mean()


def mmd_from_prior(codes: Float[Tensor, "n latent"], bandwidth: float) -> Float[Tensor, ""]:
    """Return an unbiased estimate of MMD^2 between where the codes come from and N(0, I) (Gretton et al. 2012, eq. 3).

    The kernel's means under the prior are closed forms, so nothing is drawn from it: with d latent units and
    k(z, z') = exp(-|z - z'|^2 / (2 h)), E_p k(z, .) = (h/(h+1))^(d/2) exp(-|z|^2 / (2 (h+1))) and
    E_pp k = (h/(h+2))^(d/2).
    """
    n, latent_dim = codes.shape
    h = bandwidth * latent_dim
    squares = codes.square().sum(1)
    with without_autocast(codes):
        distances = squares.unsqueeze(1) + squares - 2 * codes @ codes.T
    kernel = torch.exp(-distances.clamp_min(0) / (2 * h))
    among_codes = (kernel.sum() - kernel.diagonal().sum()) / (n * (n - 1))
    normaliser: float = (h / (h + 1)) ** (latent_dim / 2)
    to_prior = normaliser * torch.exp(-squares / (2 * (h + 1))).mean()
    among_prior: float = (h / (h + 2)) ** (latent_dim / 2)
    return among_codes - 2 * to_prior + among_prior
