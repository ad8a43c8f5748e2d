"""The importance-weighted bound (Burda et al. 2015, eq. 8): tighter with every sample, log p(x) in the limit."""

from vae_lightning.distributions import Posterior
from vae_lightning.distributions.shapes import Codes, KlWeight
from vae_lightning.objectives.bound import Bound, Draw, OfSamples, measured_kl_per_unit
from vae_lightning.objectives.elbo import Elbo
from vae_lightning.training_step import TrainingStep


class Iwae(Elbo):
    """loss = -mean over images of log (1/k) sum_i p(x|z_i) (p(z_i) / q(z_i|x))^w, z_i ~ q(z|x).

    At w = 1 this is -L_k. At k = 1 it is the ELBO for every w, and is computed as such, the KL in closed form where
    the estimator allows. The ELBO is reported beside it.
    """

    is_weighted_elbo = False
    importance_weighted = True
    needs_density = True
    kl_coefficient = Elbo.kl_coefficient

    def bound_of(
        self, log_px: OfSamples, draw: Draw, posterior: Posterior, noise: Codes, kl_weight: KlWeight, at: TrainingStep
    ) -> Bound:
        if len(noise) == 1:
            return super().bound_of(log_px, draw, posterior, noise, kl_weight, at)
        log_weights = log_px - kl_weight * draw.kl_samples.sum(-1)
        loss = -self.estimator.log_mean_exp(log_weights, draw, kl_weight).mean()
        return Bound(loss, -log_px.mean(0), measured_kl_per_unit(posterior, draw.prior, noise))
