"""The evidence lower bound, and what holds its KL up: each is distortion + another function of the KL."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.distributions import Likelihood, Posterior, Prior
from vae_lightning.distributions.shapes import Codes, KlWeight, PerUnit, Pixels
from vae_lightning.objectives.bound import Bound, Decoder, Draw, OfSamples, log_likelihood, measured_kl_per_unit
from vae_lightning.objectives.protocol import CriticalWeights, Estimator, ObjectiveFacts, Price, Unpriced
from vae_lightning.ranges import Count, NonNegative
from vae_lightning.ranks import mean_over_ranks
from vae_lightning.training_step import Length, Schedule, TrainingStep, steps_of

Penalty = Float[Tensor, ""]


class KlTerms(NamedTuple):
    """The KL per image and unit, in nats."""

    in_loss: PerUnit
    """As the gradient sees it: in closed form, or from the samples."""
    measured: PerUnit
    """As it is reported: in closed form wherever there is one."""


def price_at(kl_weight_in_force: float) -> Price:
    """Return the price of a nat where the weight in force multiplies the whole KL."""
    return kl_weight_in_force if kl_weight_in_force > 0 else Unpriced("kl_weight is 0: a nat costs nothing")


class Elbo(ObjectiveFacts):
    """loss = mean over images of [ -1/L sum_l log p(x|z_l) + w KL(q(z|x) || p(z)) ], z_l ~ q(z|x).

    Kingma & Welling 2013, equation 7; with w other than 1 beta-VAE (Higgins et al. 2017). ``n_samples`` is L.
    """

    is_weighted_elbo = True

    def __init__(self, estimator: Estimator, *, n_samples: Count) -> None:
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
        return self.bound_of(log_px, draw, posterior, noise, kl_weight_in_force, at)

    def bound_of(
        self, log_px: OfSamples, draw: Draw, posterior: Posterior, noise: Codes, kl_weight: KlWeight, at: TrainingStep
    ) -> Bound:
        """Return the bound of a draw from an uncut ``posterior``; ``kl_weight`` is the one in force."""
        distortion = -self.estimator.expectation(log_px, draw)
        closed_form = draw.prior.kl_per_unit(posterior) if self.estimator.kl == "closed_form" else None
        if closed_form is not None:
            kl = KlTerms(closed_form, closed_form)
        else:
            sampled = self.estimator.expectation(draw.kl_samples, draw)
            kl = KlTerms(sampled, measured_kl_per_unit(posterior, draw.prior, noise))
        return Bound(distortion.mean() + self.penalty(kl, kl_weight, draw, at), distortion, kl.measured)

    def penalty(self, kl: KlTerms, kl_weight_in_force: KlWeight, draw: Draw, at: TrainingStep) -> Penalty:
        """Return what is added to the batch mean of the distortion."""
        return kl_weight_in_force * kl.in_loss.mean(0).sum()

    def kl_coefficient(self, kl_weight_in_force: float) -> Price:
        return price_at(kl_weight_in_force)

    def critical_kl_weights(self, of_elbo: CriticalWeights) -> CriticalWeights | Unpriced:
        return of_elbo


class FreeBits(Elbo):
    """The KL becomes the sum over groups of max(free_nats, batch mean of the group's KL) (Kingma et al. 2016, eq. 15).

    Below ``free_nats`` a group costs nothing, so nothing pushes it into the prior. Whether it is below is judged by the
    KL's closed form where there is one, also when the KL of the loss is sampled. The batch is the global one.
    """

    needs_density = True

    def __init__(self, estimator: Estimator, *, n_samples: Count, free_nats: NonNegative, group_size: Count) -> None:
        super().__init__(estimator, n_samples=n_samples)
        self.free_nats = free_nats
        self.group_size = self.latent_dim_multiple = group_size

    def kl_coefficient(self, kl_weight_in_force: float) -> Price:
        if self.free_nats > 0:
            return Unpriced("objective=free_bits gives away the first nats of each unit")
        return price_at(kl_weight_in_force)

    def critical_kl_weights(self, of_elbo: CriticalWeights) -> CriticalWeights | Unpriced:
        if self.free_nats > 0:
            return Unpriced("objective=free_bits gives away the first nats of each unit, whatever kl_weight is")
        return of_elbo

    def penalty(self, kl: KlTerms, kl_weight_in_force: KlWeight, draw: Draw, at: TrainingStep) -> Penalty:
        in_loss, measured = (mean_over_ranks(units.mean(0).unflatten(0, (-1, self.group_size)).sum(1)) for units in kl)
        return kl_weight_in_force * torch.where(measured >= self.free_nats, in_loss, self.free_nats).sum()


class Capacity(Elbo):
    """The KL becomes gamma |batch mean KL - C(t)|, C from 0 to ``capacity`` linearly (Burgess et al. 2018, eq. 8).

    C grows for ``growth``, in nats per image. gamma is 100 to 1000 in the paper; the KL weight multiplies it.
    """

    needs_density = True

    def __init__(
        self, estimator: Estimator, *, n_samples: Count, capacity: NonNegative, growth: Length, gamma: NonNegative
    ) -> None:
        super().__init__(estimator, n_samples=n_samples)
        self.capacity = capacity
        self.growth = growth
        self.gamma = gamma

    def penalty(self, kl: KlTerms, kl_weight_in_force: KlWeight, draw: Draw, at: TrainingStep) -> Penalty:
        target = self.capacity * self.share_grown(at)
        in_loss, measured = (mean_over_ranks(units.mean(0).sum()) - target for units in kl)
        # |.| of what is measured: the sign of a noisy estimate would be a biased one.
        return kl_weight_in_force * self.gamma * in_loss * measured.detach().sign()

    def kl_coefficient(self, kl_weight_in_force: float) -> Price:
        return Unpriced("objective=capacity holds the KL at a value, whatever a nat earns")

    def critical_kl_weights(self, of_elbo: CriticalWeights) -> CriticalWeights | Unpriced:
        return Unpriced("objective=capacity holds the KL at a value, whatever kl_weight is")

    def schedules(self) -> dict[str, Schedule]:
        return {"growth": self.share_grown}

    def share_grown(self, at: TrainingStep) -> float:
        """Return C / C_max at a step of the run."""
        return min(1.0, at.step / steps_of(self.growth, at.steps_per_epoch, at.total_steps))
