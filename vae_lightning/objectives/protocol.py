"""What the rest of the code asks of an objective. Add one by writing a class that has these."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from vae_lightning.distributions import Likelihood, Posterior
from vae_lightning.objectives.bound import Bound, Decoder
from vae_lightning.objectives.estimators import Estimator
from vae_lightning.training_step import TrainingStep


@runtime_checkable
class Objective(Protocol):
    """A loss as a pure function: noise, KL weight and step of the run come in as arguments."""

    @property
    def estimator(self) -> Estimator:
        """What gives the encoder its gradient."""

    @property
    def n_samples(self) -> int:
        """Codes drawn per image: the first dimension of ``noise``."""

    def __call__(
        self,
        pixels: Float[Tensor, "batch channels height width"],
        posterior: Posterior,
        decoder: Decoder,
        likelihood: Likelihood,
        noise: Float[Tensor, "samples batch latent"],
        kl_weight: float | Float[Tensor, ""],
        at: TrainingStep,
    ) -> Bound: ...
