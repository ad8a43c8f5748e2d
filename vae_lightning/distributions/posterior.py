"""What the rest of the code asks of a posterior. Add one by writing classes that have these."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Generator, Tensor

from vae_lightning.distributions.shapes import AnyCodes, AnyTerms, Codes, Outputs, PerUnit


@runtime_checkable
class Posterior(Protocol):
    """q(z|x) of a batch of images."""

    @property
    def mean(self) -> PerUnit: ...

    def sample(self, noise: Codes) -> Codes:
        """Turn the family's noise into codes, differentiably (Kingma & Welling 2013, section 2.4)."""

    def sample_with_log_prob(self, noise: Codes) -> tuple[Codes, Codes]:
        """Return the codes of :meth:`sample` and the terms of log q(z|x) there, computed from the noise itself.

        Computed from the codes, log q would be lost where the posterior is so narrow that its codes round to its mean.
        """

    def kl_per_unit(self) -> PerUnit | None:
        """Return KL(q(z_i|x) || N(0, 1)) in nats in closed form; None where there is none."""

    def log_prob_per_unit(self, codes: AnyCodes) -> AnyTerms:
        """Return terms, one per unit, that sum to log q(z|x) in nats. Codes broadcast against the batch."""

    def detached(self) -> "Posterior":
        """Return the same distribution with its parameters cut from the graph."""


@runtime_checkable
class PosteriorFamily(Protocol):
    """How to read the encoder's outputs as a posterior. It is built with the number of latent units."""

    @property
    def has_density(self) -> bool:
        """Return whether q(z|x) has a density, and so a KL and a bound on log p(x)."""

    @property
    def has_closed_form_kl(self) -> bool:
        """Return whether :meth:`Posterior.kl_per_unit` returns a tensor."""

    @property
    def least_batch_size(self) -> int:
        """Return how many images a training batch must have: 2 where statistics of the batch are used."""

    @property
    def is_gaussian(self) -> bool:
        """Return whether any Gaussian of its kind can be reached: closed forms and forecasts are of such a family."""

    @property
    def least_kl_per_unit(self) -> float:
        """Return the least KL to N(0, 1) that a unit can have, in nats: 0 where the family contains the prior."""

    @property
    def least_variance_of_mean(self) -> float:
        """Return how much each unit's mean varies over the images whatever the encoder gives: 0 for most families."""

    @property
    def n_parameters(self) -> int:
        """Return how many numbers the encoder must give per image."""

    def noise(self, shape: tuple[int, ...], generator: Generator) -> Float[Tensor, "..."]:
        """Draw what :meth:`Posterior.sample` takes, on the generator's device."""

    def __call__(self, parameters: Outputs) -> Posterior: ...
