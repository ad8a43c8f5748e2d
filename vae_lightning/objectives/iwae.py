"""The importance-weighted bound (Burda et al. 2015, eq. 8): tighter with every sample, log p(x) in the limit."""

from vae_lightning.distributions import Likelihood, Posterior, Prior
from vae_lightning.distributions.shapes import Codes, KlWeight, Pixels
from vae_lightning.objectives.bound import Bound, Decoder, log_likelihood, measured_kl_per_unit
from vae_lightning.objectives.elbo import Elbo, NSamples
from vae_lightning.objectives.facts import ObjectiveFacts, Unpriced, price_at
from vae_lightning.objectives.protocol import Estimator
from vae_lightning.training_step import TrainingStep


class Iwae(ObjectiveFacts):
    """loss = -mean over images of log (1/k) sum_i p(x|z_i) (p(z_i) / q(z_i|x))^w, z_i ~ q(z|x).

    At w = 1 this is -L_k. At k = 1 it is the ELBO for every w, and is computed as such, the KL in closed form where
    the estimator allows. The ELBO is reported beside it.

    Args:
        estimator: of the encoder's gradient.
        n_samples: k, codes drawn per image.
    """

    importance_weighted = True
    needs_density = True

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
        if len(noise) == 1:
            elbo = Elbo(self.estimator, n_samples=1)
            return elbo(pixels, posterior, prior, decoder, likelihood, noise, kl_weight_in_force, at)
        draw = self.estimator.draw(posterior, prior, noise)
        log_px = log_likelihood(pixels, draw.codes, decoder, likelihood)
        log_weights = log_px - kl_weight_in_force * draw.kl_samples.sum(-1)
        loss = -self.estimator.log_mean_exp(log_weights, draw, kl_weight_in_force).mean()
        return Bound(loss, -log_px.mean(0), measured_kl_per_unit(posterior, prior, noise))

    def kl_coefficient(self, kl_weight_in_force: float) -> float | Unpriced:
        return price_at(kl_weight_in_force)
