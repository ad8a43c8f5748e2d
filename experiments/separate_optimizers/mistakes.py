"""The ways in which a loop with two optimisers goes wrong, each as a part of its own that a run can choose.

The parts that do it right are ``optimizer=adam`` and ``optimizer=separate``.
"""

from typing import Any

import torch

from vae_lightning.distributions import Posterior, Prior
from vae_lightning.distributions.shapes import Codes
from vae_lightning.objectives import Pathwise
from vae_lightning.objectives.bound import Draw
from vae_lightning.optimizers import LossOf, OptimizerFactory, ParameterGroups, Separate


class ForgottenZeroGrad(Separate):
    """The encoder's gradients are never set to zero: each step is led by the sum of all gradients so far."""

    def __init__(self, groups: ParameterGroups, *, encoder: OptimizerFactory, decoder: OptimizerFactory) -> None:
        super().__init__(groups, encoder=encoder, decoder=decoder)
        self.sums = [torch.zeros_like(weight) for weight in groups[0]["params"]]

    def step_both(self) -> None:
        weights = self.encoder.param_groups[0]["params"]
        for weight, total in zip(weights, self.sums, strict=True):
            if weight.grad is not None:
                total.add_(weight.grad)
                weight.grad = total.clone()
        super().step_both()

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"sums": self.sums}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.sums = [total.clone() for total in state_dict["sums"]]


class SecondLossAfterFirstStep(Separate):
    """The encoder steps first; then the loss is computed anew, with the new encoder and new noise, for the decoder."""

    steps_unscaled = True

    @property
    def refines(self) -> bool:
        return True

    def refine(self, loss_of: LossOf, clip_norm: float | None) -> None:
        weights = self.encoder.param_groups[0]["params"]
        for weight, gradient in zip(weights, torch.autograd.grad(loss_of(0), weights), strict=True):
            weight.grad = gradient
        self.encoder.step()
        self.encoder.zero_grad()

    def step_both(self) -> None:
        self.decoder.step()


class RareSteps(Separate):
    """Of the two optimisers one steps only once in ``every`` steps."""

    def __init__(
        self, groups: ParameterGroups, *, encoder: OptimizerFactory, decoder: OptimizerFactory, slow: str, every: int
    ) -> None:
        super().__init__(groups, encoder=encoder, decoder=decoder)
        self.slow, self.every, self.n_steps = slow, every, 0

    def step_both(self) -> None:
        slow, fast = (self.encoder, self.decoder) if self.slow == "encoder" else (self.decoder, self.encoder)
        fast.step()
        if self.n_steps % self.every == 0:
            slow.step()
        self.n_steps += 1

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"n_steps": self.n_steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.n_steps = state_dict["n_steps"]


class DetachedCodes(Pathwise):
    """The code is cut from the graph before it reaches the decoder: the encoder hears of the KL alone."""

    def draw(self, posterior: Posterior, prior: Prior, noise: Codes) -> Draw:
        return Draw(posterior.sample(noise).detach(), posterior, prior)
