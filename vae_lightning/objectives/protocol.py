"""What the rest of the code asks of an objective and of an estimator. Add one by writing a class that has these."""

from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from vae_lightning.distributions import Likelihood, Posterior, Prior
from vae_lightning.distributions.shapes import Codes, KlWeight, Pixels
from vae_lightning.inheritance import changed_since_stated
from vae_lightning.objectives.bound import Bound, Decoder, Draw, OfImages, OfSamples
from vae_lightning.training_step import Schedule, TrainingStep

KlTerm = Literal["closed_form", "sampled"]
SampledTerms = Float[Tensor, "samples batch *units"]
MeanTerms = Float[Tensor, "batch *units"]
CriticalWeights = Float[Tensor, " directions"]


class Unpriced(NamedTuple):
    """A nat of KL has no price in a loss, so that no unit can be said to pay its way."""

    reason: str
    """A sentence."""


Price = float | Unpriced
"""What a loss charges for a nat of KL, or why a nat has no price."""


@runtime_checkable
class Objective(Protocol):
    """A loss as a pure function: noise, KL weight and step of the run come in as arguments."""

    @property
    def estimator(self) -> "Estimator":
        """Return what gives the encoder its gradient."""

    @property
    def n_samples(self) -> int:
        """Return the number of codes drawn per image: the first dimension of ``noise``."""

    @property
    def weighs_kl(self) -> bool:
        """Return whether the KL weight multiplies anything, for a posterior that has a density."""

    @property
    def is_weighted_elbo(self) -> bool:
        """Return whether the loss is distortion + KL weight x KL alone: what closed forms and forecasts are of."""

    @property
    def importance_weighted(self) -> bool:
        """Return whether it is the bound L_k, of a mean of k importance weights; at k = 1 that is the ELBO."""

    @property
    def needs_density(self) -> bool:
        """Return whether the loss is undefined for a posterior without a density, whose KL counts as 0."""

    @property
    def needs_path_gradient(self) -> bool:
        """Return whether something in the loss is differentiated through the codes."""

    @property
    def least_batch_size(self) -> int:
        """Return how many images a training batch must have."""

    @property
    def latent_dim_multiple(self) -> int:
        """Return what must divide the number of latent units."""

    def kl_coefficient(self, kl_weight_in_force: float) -> Price:
        """Return what the loss charges for a nat of KL, or why a nat has no price."""

    def critical_kl_weights(self, of_elbo: CriticalWeights) -> "CriticalWeights | Unpriced":
        """Return the KL weight in force below which directions live that live below ``of_elbo`` in a weighted ELBO; or
        why units live whatever the weight is."""

    def schedules(self) -> dict[str, Schedule]:
        """Return the settings that follow the length of the run, by name, as functions of the step."""

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
    ) -> Bound: ...


class ObjectiveFacts:
    """The base of our objectives, and of a user's own: facts of one that says nothing else.

    A class that changes the loss, by ``__call__`` or by a method of :class:`Elbo`, and does not say what a nat costs is
    unpriced: it does not inherit the price of a loss that it no longer has.
    """

    weighs_kl: bool = True
    is_weighted_elbo: bool = False
    importance_weighted: bool = False
    needs_density: bool = False
    needs_path_gradient: bool = False
    least_batch_size: int = 1
    latent_dim_multiple: int = 1

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        of_the_loss = ("__call__", "bound_of", "penalty")
        if changed_since_stated(cls, of_the_loss, "kl_coefficient"):
            cls.kl_coefficient = ObjectiveFacts.kl_coefficient  # type: ignore[method-assign]
        if changed_since_stated(cls, of_the_loss, "critical_kl_weights"):
            cls.critical_kl_weights = ObjectiveFacts.critical_kl_weights  # type: ignore[method-assign]
        if changed_since_stated(cls, of_the_loss, "is_weighted_elbo"):
            cls.is_weighted_elbo = False

    def kl_coefficient(self, kl_weight_in_force: float) -> Price:
        return Unpriced(f"{type(self).__name__} does not say what its loss charges for a nat (kl_coefficient)")

    def critical_kl_weights(self, of_elbo: CriticalWeights) -> CriticalWeights | Unpriced:
        return Unpriced(f"{type(self).__name__} does not say which units its loss lets live (critical_kl_weights)")

    def schedules(self) -> dict[str, Schedule]:
        return {}


@runtime_checkable
class Estimator(Protocol):
    """A rule for the encoder's gradient."""

    @property
    def kl(self) -> KlTerm:
        """Return whether the KL term of a loss is the closed form (where there is one) or comes from the same codes."""

    @property
    def needs_density(self) -> bool:
        """Return whether log q(z|x) is asked for."""

    @property
    def least_samples(self) -> int:
        """Return how many codes per image it needs."""

    def why_undefined(self, objective: Objective) -> str | None:
        """Return why there is no such gradient of this objective; None where there is."""

    def caveat(self, objective: Objective) -> str | None:
        """Return what is defined and yet not what it seems; None where there is nothing to say."""

    def draw(self, posterior: Posterior, prior: Prior, noise: Codes) -> Draw: ...

    def expectation(self, values: SampledTerms, draw: Draw) -> MeanTerms:
        """Return the mean of ``values``, functions of the codes, over the samples."""

    def log_mean_exp(self, log_weights: OfSamples, draw: Draw, exponent: KlWeight) -> OfImages:
        """Return log (1/k) sum_i w_i of w_i = p(x|z_i) (p(z_i) / q(z_i|x))^exponent, at most 1: L_k at 1."""
