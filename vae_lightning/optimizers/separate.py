"""What an optimiser may want of a training beside its step, and two optimisers stepped from one loss."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer

ParameterGroups = list[dict[str, Any]]
"""The encoder's group (with the posterior's own parameters), then the decoder's (with the likelihood's)."""
OptimizerFactory = Callable[[ParameterGroups], Optimizer]
"""A partial of an optimiser's class, as a config's ``_partial_: true`` gives it."""

LossOf = Callable[[int], Float[Tensor, ""]]
"""The loss on batch number 0 (the step's own), 1, 2, ... drawn for one step."""


class Hooks:
    """Facts and hooks of an optimiser that says nothing else: one of torch's wants nothing."""

    takes_two_groups: bool = False
    """True where it is built with the encoder's and the decoder's parameters apart."""
    needs_density: bool = False
    """True where it asks for the posterior's density."""
    steps_unscaled: bool = False
    """True where it steps by gradients that no gradient scaler has seen."""
    wants_information: bool = False
    """True where :meth:`judge` is to be told the mutual information of images and codes after each epoch."""

    @property
    def refines(self) -> bool:
        """Return whether :meth:`refine` has anything to do before the next step."""
        return False

    def refine(self, loss_of: LossOf, clip_norm: float | None) -> None:
        """Do what comes before a step."""

    def training_values(self) -> dict[str, float]:
        """Return what is logged beside the learning rate, since this was last asked."""
        return {}

    def judge(self, information: float) -> None:
        """Take an epoch's mutual information in nats."""


def hooks_of(optimizer: object) -> Hooks:
    """Return the optimiser's own hooks, or those that do nothing."""
    own: Hooks = getattr(optimizer, "hooks", Hooks())
    return own


def optimizer_of(factory: OptimizerFactory, groups: ParameterGroups) -> Optimizer:
    """Build an optimiser: one that takes two groups gets both, every other one a single group of all parameters."""
    made = getattr(factory, "func", factory)
    if getattr(made, "takes_two_groups", False):
        return factory(groups)
    # Not two groups: torch's fused Adam took three times as long for two as for one here.
    return factory([{"params": [parameter for group in groups for parameter in group["params"]]}])


class Separate(Hooks, Optimizer):
    """Looks like one optimiser to Lightning and to learning-rate schedules, and holds two.

    With two equal Adams it does bit for bit what one Adam does: an optimiser that looks at each weight alone cannot
    know how many others it has. Trouble with "two optimisers" comes from two losses, two backward passes or a
    forgotten zero_grad, not from their number.
    """

    takes_two_groups = True

    def __init__(self, groups: ParameterGroups, *, encoder: OptimizerFactory, decoder: OptimizerFactory) -> None:
        super().__init__(groups, {})
        self.encoder, self.decoder = encoder(groups[:1]), decoder(groups[1:])
        self._share_groups()

    def _share_groups(self) -> None:
        """Show the inner optimisers' own groups, so that who changes a learning rate here changes it there."""
        self.param_groups = [*self.encoder.param_groups, *self.decoder.param_groups]

    @property
    def hooks(self) -> Hooks:
        return self

    def training_values(self) -> dict[str, float]:
        return {"decoder_learning_rate": self.param_groups[-1]["lr"]}

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None if closure is None else torch.enable_grad()(closure)()
        self.step_both()
        return loss

    def step_both(self) -> None:
        self.encoder.step()
        self.decoder.step()

    def state_dict(self) -> dict[str, Any]:
        return {"encoder": self.encoder.state_dict(), "decoder": self.decoder.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.encoder.load_state_dict(state_dict["encoder"])
        self.decoder.load_state_dict(state_dict["decoder"])
        self._share_groups()
