"""The importance-weighted bound (Burda et al. 2015, eq. 8): tighter with every sample, log p(x) in the limit."""

from torch import Tensor

from vae_lightning.distributions import Posterior, Prior
from vae_lightning.distributions.shapes import Codes, KlWeight, PerUnit
from vae_lightning.objectives.bound import Bound, Draw, OfSamples, measured_kl_per_unit
from vae_lightning.objectives.elbo import Elbo
from vae_lightning.objectives.importance_weighted import critical_weights_of_bound
from vae_lightning.objectives.protocol import CriticalWeights, Price, Unpriced
from vae_lightning.training_step import TrainingStep


class Iwae(Elbo):
    """loss = mean over images of [ -log (1/k) sum_i p(x|z_i) (p(z_i) / q(z_i|x))^a + (w - a) KL ], a = min(w, 1).

    z_i ~ q(z|x). At w = 1 this is -L_k, and above it L_k pays for w - 1 times the KL. Inside the logarithm the rest of
    the weight would be no price: there a nat at the prior costs w (1 - (1 - 1/k) w), a gain above w = k / (k - 1). At
    k = 1 it is the ELBO for every w, and is computed as such. The ELBO is reported beside it.
    """

    revision = 1
    importance_weighted = True
    needs_density = True

    @property
    def is_weighted_elbo(self) -> bool:  # type: ignore[override]
        return self.n_samples == 1

    def bound_of(
        self, log_px: OfSamples, draw: Draw, posterior: Posterior, noise: Codes, kl_weight: KlWeight, at: TrainingStep
    ) -> Bound:
        if len(noise) == 1:
            return super().bound_of(log_px, draw, posterior, noise, kl_weight, at)
        inside = kl_weight.clamp(max=1) if isinstance(kl_weight, Tensor) else min(kl_weight, 1.0)
        log_weights = log_px - inside * draw.kl_samples.sum(-1)
        loss = -self.estimator.log_mean_exp(log_weights, draw, inside).mean()
        # What a tensor holds is not looked at: that would wait for the device, and under vmap it holds many.
        if isinstance(kl_weight, Tensor) or kl_weight > 1:
            loss = loss + (kl_weight - inside) * self.kl_outside(posterior, draw.prior, noise).mean(0).sum()
        return Bound(loss, -log_px.mean(0), measured_kl_per_unit(posterior, draw.prior, noise))

    def kl_outside(self, posterior: Posterior, prior: Prior, noise: Codes) -> PerUnit:
        """Return the KL of an uncut ``posterior`` in closed form where there is one, else of the codes of the noise."""
        closed_form = prior.kl_per_unit(posterior)
        if closed_form is not None:
            return closed_form
        # Drawn anew, to the same values: DReG scales every gradient that reaches the codes of L_k.
        draw = self.estimator.draw(posterior, prior, noise)
        return self.estimator.expectation(draw.kl_samples, draw)

    def kl_coefficient(self, kl_weight_in_force: float) -> Price:
        if self.n_samples == 1:
            return super().kl_coefficient(kl_weight_in_force)
        return Unpriced("objective=iwae with several samples: what a nat costs depends on where it is")

    def critical_kl_weights(self, of_elbo: CriticalWeights) -> CriticalWeights | Unpriced:
        return critical_weights_of_bound(of_elbo, self.n_samples)
