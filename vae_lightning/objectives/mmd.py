"""InfoVAE: holds the aggregate posterior, not each image's, to the prior by a maximum mean discrepancy."""

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from vae_lightning.distributions import Prior
from vae_lightning.distributions.arithmetic import without_autocast
from vae_lightning.distributions.shapes import KlWeight
from vae_lightning.errors import Code, UserError
from vae_lightning.objectives.bound import Draw
from vae_lightning.objectives.elbo import Elbo, KlTerms, Penalty, price_at
from vae_lightning.objectives.protocol import CriticalWeights, Estimator, Price, Unpriced
from vae_lightning.ranges import Count, Finite, NonNegative, Positive
from vae_lightning.ranks import gathered_over_ranks
from vae_lightning.training_step import TrainingStep

AtMostOne = Annotated[Finite, Field(le=1)]


class Mmd(Elbo):
    """loss = distortion + w (1 - alpha) KL + (alpha + lambda - 1) MMD^2(q(z), p(z)) (Zhao et al. 2017, eq. 6).

    q(z) is the aggregate posterior of the global batch. alpha = 1 leaves no KL; with posterior=point it is the
    Wasserstein autoencoder with an MMD penalty (Tolstikhin et al. 2018). The MMD is averaged over the samples;
    ``lambda_`` is in nats per unit of MMD^2; the kernel is exp(-|z - z'|^2 / (2 bandwidth latent_dim)).
    """

    needs_path_gradient = True
    least_batch_size = 2

    def __init__(
        self, estimator: Estimator, *, n_samples: Count, alpha: AtMostOne, lambda_: NonNegative, bandwidth: Positive
    ) -> None:
        super().__init__(estimator, n_samples=n_samples)
        if alpha + lambda_ < 1:
            told = f"objective.lambda_={lambda_:g}: must be at least 1 - objective.alpha, {1 - alpha:g}"
            raise UserError(told, Code.INVALID, ["objective.lambda_", "objective.alpha"])
        self.alpha = alpha
        self.weighs_kl = alpha != 1
        self.lambda_ = lambda_
        self.bandwidth = bandwidth

    def penalty(self, kl: KlTerms, kl_weight_in_force: KlWeight, draw: Draw, at: TrainingStep) -> Penalty:
        gathered = [gathered_over_ranks(of_batch) for of_batch in draw.codes]
        distance = torch.stack([mmd_from_prior(codes, draw.prior, self.bandwidth) for codes in gathered])
        kept = (1 - self.alpha) * kl.in_loss.mean(0).sum()
        return kl_weight_in_force * kept + (self.alpha + self.lambda_ - 1) * distance.mean()

    def kl_coefficient(self, kl_weight_in_force: float) -> Price:
        if self.weighs_kl:
            return price_at(kl_weight_in_force * (1 - self.alpha))
        return Unpriced("there is no KL in this loss")

    def critical_kl_weights(self, of_elbo: CriticalWeights) -> CriticalWeights | Unpriced:
        """Return those at which the price that is left is the ELBO's: near collapse the MMD is of fourth order."""
        if self.weighs_kl:
            return of_elbo / (1 - self.alpha)
        return Unpriced("objective.alpha=1 leaves no KL in the loss")


def mmd_from_prior(codes: Float[Tensor, "n latent"], prior: Prior, bandwidth: float) -> Float[Tensor, ""]:
    """Return an unbiased estimate of MMD^2 between the codes' distribution and the prior (Gretton et al. 2012, eq. 3).

    The kernel's means under the prior are closed forms, so nothing is drawn from it.

    Raises:
        UserError: they are not known for this prior.
    """
    n, latent_dim = codes.shape
    h = bandwidth * latent_dim
    of_prior = prior.kernel_means(codes, h)
    if of_prior is None:
        told = "objective=mmd: the prior must know its kernel's means (kernel_means); take prior=standard_normal"
        raise UserError(told, Code.INCOMPATIBLE, ["objective", "prior"])
    squares = codes.square().sum(1)
    with without_autocast(codes):
        distances = squares.unsqueeze(1) + squares - 2 * codes @ codes.T
    kernel = torch.exp(-distances.clamp_min(0) / (2 * h))
    among_codes = (kernel.sum() - kernel.diagonal().sum()) / (n * (n - 1))
    to_prior, among_prior = of_prior
    return among_codes - 2 * to_prior.mean() + among_prior
