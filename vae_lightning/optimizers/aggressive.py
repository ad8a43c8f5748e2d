"""Aggressive inference: the encoder catches up before each step of the decoder (He et al. 2019, algorithm 1)."""

import math
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn

from vae_lightning.optimizers.hooks import LossOf
from vae_lightning.optimizers.separate import OptimizerFactory, ParameterGroups, Separate
from vae_lightning.ranks import mean_over_ranks


class Aggressive(Separate):
    """Two optimisers of which, at first, only the encoder's runs in an inner loop and only the decoder's outside it.

    Before each step of the decoder the encoder takes up to ``max_steps`` on batches of its own, until the loss of a
    ``window`` of steps is no better than that of the window before. This goes on until, from one epoch to the next,
    the mutual information of images and codes no longer rises; from then on both step together. Both facts are in
    :meth:`state_dict`, so a resumed run is in the same phase.

    Args:
        groups: the encoder's and the decoder's parameters.
        encoder: makes the encoder's optimiser.
        decoder: makes the decoder's optimiser.
        max_steps: most encoder steps for one of the decoder; 100 in the paper.
        window: steps over which losses are averaged before they are compared; 10 in the paper's code.
    """

    needs_density = True
    steps_unscaled = True

    def __init__(
        self,
        groups: ParameterGroups,
        *,
        encoder: OptimizerFactory,
        decoder: OptimizerFactory,
        max_steps: Annotated[int, Field(ge=1)],
        window: Annotated[int, Field(ge=1)],
    ) -> None:
        super().__init__(groups, encoder=encoder, decoder=decoder)
        self.max_steps = max_steps
        self.window = window
        self.aggressive = True
        self.best_information = -math.inf
        self.extra_steps = 0
        """Of the encoder, since they were last logged."""

    def step_both(self) -> None:
        if not self.aggressive:
            self.encoder.step()
        self.decoder.step()

    @property
    def refines(self) -> bool:
        return self.aggressive

    def refine(self, loss_of: LossOf, clip_norm: float | None) -> None:
        """Step the encoder alone on ``loss_of(0)``, ``loss_of(1)``, …"""
        parameters = self.encoder_parameters
        previous, recent = math.inf, []
        for index in range(self.max_steps):
            loss = loss_of(index)
            # autograd.grad, not backward: the decoder needs no gradient here, and DDP, which waits for one backward
            # per step, must not see this one.
            gradients = torch.autograd.grad(loss, parameters)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = mean_over_ranks(gradient)
            if clip_norm is not None:
                nn.utils.clip_grad_norm_(parameters, clip_norm)
            self.encoder.step()
            torch.clear_autocast_cache()  # under mixed precision it holds the weights as they were before the step
            recent.append(loss.detach())
            if len(recent) == self.window:
                mean = float(mean_over_ranks(torch.stack(recent).mean()))
                if not mean < previous:
                    break
                previous, recent = mean, []
        self.encoder.zero_grad()
        self.extra_steps += index + 1

    def training_values(self) -> dict[str, float]:
        steps, self.extra_steps = self.extra_steps, 0
        own = {"extra_encoder_steps": float(steps), "aggressive": float(self.aggressive)}
        return {**super().training_values(), **own}

    @property
    def wants_information(self) -> bool:
        return True

    def judge(self, information: float) -> None:
        """Take an epoch's mutual information in nats; end the aggressive phase when it is not above the best yet."""
        self.aggressive = self.aggressive and information > self.best_information
        self.best_information = max(self.best_information, information)

    def state_dict(self) -> dict[str, Any]:
        return {
            **super().state_dict(),
            "aggressive": self.aggressive,
            "best_information": self.best_information,
            "extra_steps": self.extra_steps,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.aggressive = state_dict["aggressive"]
        self.best_information = state_dict["best_information"]
        self.extra_steps = state_dict["extra_steps"]
