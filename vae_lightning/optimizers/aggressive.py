"""Aggressive inference: the encoder catches up before each step of the decoder (He et al. 2019, algorithm 1)."""

import math
from typing import Any

import torch
from torch import nn

from vae_lightning.optimizers.separate import LossOf, OptimizerFactory, ParameterGroups, Separate
from vae_lightning.ranges import Count
from vae_lightning.ranks import mean_over_ranks

STATE = ("aggressive", "best_information", "extra_steps")
"""What a checkpoint holds beside the states of the two optimisers."""


class Aggressive(Separate):
    """Two optimisers of which, at first, only the encoder's runs in an inner loop and only the decoder's outside it.

    Before each step of the decoder the encoder takes up to ``max_steps`` on batches of its own, until the loss of a
    ``window`` of steps is no better than that of the window before. This goes on until, from one epoch to the next,
    the mutual information of images and codes no longer rises; from then on both step together. Both facts are in
    :meth:`state_dict`, so a resumed run is in the same phase. ``max_steps`` is 100 in the paper, ``window`` 10 in its
    code.
    """

    needs_density = True
    steps_unscaled = True
    wants_information = True

    def __init__(
        self,
        groups: ParameterGroups,
        *,
        encoder: OptimizerFactory,
        decoder: OptimizerFactory,
        max_steps: Count,
        window: Count,
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
        parameters = [parameter for group in self.encoder.param_groups for parameter in group["params"]]
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
        return super().training_values() | own

    def judge(self, information: float) -> None:
        """Take an epoch's mutual information in nats; end the aggressive phase when it is not above the best yet."""
        self.aggressive = self.aggressive and information > self.best_information
        self.best_information = max(self.best_information, information)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {name: getattr(self, name) for name in STATE}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for name in STATE:
            setattr(self, name, state_dict[name])
