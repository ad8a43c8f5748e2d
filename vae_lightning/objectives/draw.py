"""Codes with the posterior and the prior that judge them."""

from dataclasses import dataclass
from functools import cached_property

from vae_lightning.distributions import Posterior, Prior
from vae_lightning.distributions.shapes import Codes


@dataclass(frozen=True)
class Draw:
    """Codes and the posterior they came from, each cut from the graph where the estimator wants no gradient."""

    codes: Codes
    posterior: Posterior
    prior: Prior
    noise: Codes | None = None
    """What the codes were made of, where log q may be computed from it: where codes and posterior are not cut apart."""

    @cached_property
    def log_q_per_unit(self) -> Codes:
        """Return the terms of log q(z|x)."""
        if self.noise is None:
            return self.posterior.log_prob_per_unit(self.codes)
        return self.posterior.sample_with_log_prob(self.noise)[1]

    @cached_property
    def kl_samples(self) -> Codes:
        """Return log q(z|x) - log p(z), unit by unit: their mean estimates the KL."""
        return self.log_q_per_unit - self.prior.log_prob_per_unit(self.codes)
