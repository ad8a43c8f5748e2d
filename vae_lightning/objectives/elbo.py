"""The evidence lower bound, and what holds its KL up: free bits and a capacity that grows.

Each is distortion + a function of the KL; they differ in that function alone.
"""

from typing import Annotated, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from vae_lightning.distributions import Likelihood, Posterior, Prior
from vae_lightning.distributions.shapes import Codes, KlWeight, Pixels
from vae_lightning.objectives.bound import Bound, Decoder, log_likelihood, measured_kl_per_unit
from vae_lightning.objectives.draw import Draw
from vae_lightning.objectives.facts import ObjectiveFacts, Unpriced, price_at
from vae_lightning.objectives.protocol import Estimator
from vae_lightning.ranks import mean_over_ranks
from vae_lightning.training_step import Length, Schedule, TrainingStep, steps_of

NSamples = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class KlTerms(NamedTuple):
    """The KL per image and unit, in nats."""

    in_loss: Float[Tensor, "batch latent"]
    """As the gradient sees it: in closed form, or from the samples."""
    measured: Float[Tensor, "batch latent"]
    """As it is reported: in closed form wherever there is one."""


def kl_terms(posterior: Posterior, prior: Prior, noise: Codes, draw: Draw, estimator: Estimator) -> KlTerms:
    """Return the KL of the loss, by the estimator's choice, and the KL as it is reported."""
    closed_form = prior.kl_per_unit(posterior) if estimator.kl == "closed_form" else None
    if closed_form is not None:
        return KlTerms(closed_form, closed_form)
    return KlTerms(estimator.expectation(draw.kl_samples, draw), measured_kl_per_unit(posterior, prior, noise))


class Elbo(ObjectiveFacts):
    """loss = mean over images of [ -1/L sum_l log p(x|z_l) + w KL(q(z|x) || p(z)) ], z_l ~ q(z|x).

    Kingma & Welling 2013, equation 7; with w other than 1 beta-VAE (Higgins et al. 2017).

    Args:
        estimator: of the encoder's gradient.
        n_samples: L, codes drawn per image.
    """

    is_weighted_elbo = True

    def __init__(self, estimator: Estimator, *, n_samples: NSamples) -> None:
        self.estimator = estimator
        self.n_samples = n_samples

    def __call__(
        self,
        pixels: Pixels,
        posterior: Posterior,
        prior: Prior,
        decoder: Decoder,
        likelihood: Likelihood,
        noise: Codes,
        kl_weight_in_force: KlWeight,
        at: TrainingStep,
    ) -> Bound:
        """Return the bound for given noise and KL weight in force: a pure function of its arguments."""
        draw = self.estimator.draw(posterior, prior, noise)
        log_px = log_likelihood(pixels, draw.codes, decoder, likelihood)
        distortion = -self.estimator.expectation(log_px, draw)
        kl = kl_terms(posterior, prior, noise, draw, self.estimator)
        loss = distortion.mean() + self.penalty(kl, kl_weight_in_force, draw, at)
        return Bound(loss, distortion, kl.measured)

    def penalty(self, kl: KlTerms, kl_weight_in_force: KlWeight, draw: Draw, at: TrainingStep) -> Float[Tensor, ""]:
        """Return what is added to the batch mean of the distortion."""
        return kl_weight_in_force * kl.in_loss.mean(0).sum()

    def kl_coefficient(self, kl_weight_in_force: float) -> float | Unpriced:
        return price_at(kl_weight_in_force)


class FreeBits(Elbo):
    """The KL becomes the sum over groups of max(free_nats, batch mean of the group's KL) (Kingma et al. 2016, eq. 15).

    Below ``free_nats`` a group costs nothing, so nothing pushes it into the prior. Whether it is below is judged by the
    KL's closed form where there is one, also when the KL of the loss is sampled. The batch is the global one.

    Args:
        estimator: of the encoder's gradient.
        n_samples: codes drawn per image.
        free_nats: lambda, per group.
        group_size: units in a group; it must divide the number of latent units.
    """

    needs_density = True

    def __init__(
        self,
        estimator: Estimator,
        *,
        n_samples: NSamples,
        free_nats: NonNegative,
        group_size: Annotated[int, Field(ge=1)],
    ) -> None:
        super().__init__(estimator, n_samples=n_samples)
        self.free_nats = free_nats
        self.group_size = self.latent_dim_multiple = group_size

    def kl_coefficient(self, kl_weight_in_force: float) -> float | Unpriced:
        if self.free_nats > 0:
            return Unpriced("objective=free_bits gives away the first nats of each unit")
        return price_at(kl_weight_in_force)

    def penalty(self, kl: KlTerms, kl_weight_in_force: KlWeight, draw: Draw, at: TrainingStep) -> Float[Tensor, ""]:
        in_loss, measured = (mean_over_ranks(units.mean(0).unflatten(0, (-1, self.group_size)).sum(1)) for units in kl)
        return kl_weight_in_force * torch.where(measured >= self.free_nats, in_loss, self.free_nats).sum()


class Capacity(Elbo):
    """The KL becomes gamma |batch mean KL - C(t)|, C from 0 to ``capacity`` linearly (Burgess et al. 2018, eq. 8).

    Args:
        estimator: of the encoder's gradient.
        n_samples: codes drawn per image.
        capacity: C_max in nats per image.
        growth: how long C grows: a share of the run, or epochs.
        gamma: weight of the distance; 100 to 1000 in the paper. The KL weight multiplies it.
    """

    needs_density = True

    def __init__(
        self, estimator: Estimator, *, n_samples: NSamples, capacity: NonNegative, growth: Length, gamma: NonNegative
    ) -> None:
        super().__init__(estimator, n_samples=n_samples)
        self.capacity = capacity
        self.growth = growth
        self.gamma = gamma

    def penalty(self, kl: KlTerms, kl_weight_in_force: KlWeight, draw: Draw, at: TrainingStep) -> Float[Tensor, ""]:
        target = self.capacity * self.share_grown(at)
        in_loss, measured = (mean_over_ranks(units.mean(0).sum()) - target for units in kl)
        # |.| of what is measured: the sign of a noisy estimate would be a biased one.
        return kl_weight_in_force * self.gamma * in_loss * measured.detach().sign()

    def kl_coefficient(self, kl_weight_in_force: float) -> float | Unpriced:
        return Unpriced("objective=capacity holds the KL at a value, whatever a nat earns")

    def schedules(self) -> dict[str, Schedule]:
        return {"growth": self.share_grown}

    def share_grown(self, at: TrainingStep) -> float:
        """Return C / C_max at a step of the run."""
        return min(1.0, at.step / steps_of(self.growth, at.steps_per_epoch, at.total_steps))
