"""Two optimisers, one for the encoder and one for the decoder, stepped from one loss."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from vae_lightning.optimizers.hooks import Hooks

ParameterGroups = list[dict[str, Any]]
"""The encoder's group (with the posterior's own parameters), then the decoder's (with the likelihood's)."""
OptimizerFactory = Callable[[ParameterGroups], Optimizer]
"""A partial of an optimiser's class, as a config's ``_partial_: true`` gives it."""


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

    Args:
        groups: the encoder's and the decoder's parameters.
        encoder: makes the encoder's optimiser.
        decoder: makes the decoder's optimiser.
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

    @property
    def encoder_parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.encoder.param_groups for parameter in group["params"]]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
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
