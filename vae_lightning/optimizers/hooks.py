"""What an optimiser may want of a training beside its step; one of torch's wants nothing."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

LossOf = Callable[[int], Float[Tensor, ""]]
"""The loss on batch number 0 (the step's own), 1, 2, ... drawn for one step."""


class Hooks:
    """Facts and hooks of an optimiser that says nothing else."""

    takes_two_groups: bool = False
    """True where it is built with the encoder's and the decoder's parameters apart."""
    needs_density: bool = False
    """True where it asks for the posterior's density."""
    steps_unscaled: bool = False
    """True where it steps by gradients that no gradient scaler has seen."""

    @property
    def refines(self) -> bool:
        """Return whether :meth:`refine` has anything to do before the next step."""
        return False

    def refine(self, loss_of: LossOf, clip_norm: float | None) -> None:
        """Do what comes before a step."""

    def training_values(self) -> dict[str, float]:
        """Return what is logged beside the learning rate, since this was last asked."""
        return {}

    @property
    def wants_information(self) -> bool:
        """Return whether :meth:`judge` is to be told the mutual information of images and codes after each epoch."""
        return False

    def judge(self, information: float) -> None:
        """Take an epoch's mutual information in nats."""


def hooks_of(optimizer: Optimizer) -> Hooks:
    """Return the optimiser's own hooks, or those that do nothing."""
    own: Hooks = getattr(optimizer, "hooks", Hooks())
    return own
