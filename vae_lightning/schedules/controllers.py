"""Beta schedules with feedback: the multiplier follows what the model does. Their state is in the checkpoint."""

import math
from typing import Annotated, Literal, Protocol, TypeGuard, runtime_checkable

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from vae_lightning.errors import Code, UserError
from vae_lightning.ranges import Finite, NonNegative, Positive
from vae_lightning.training_step import Schedule, TrainingStep

Scalar = Float[Tensor, ""]
Decay = Annotated[float, Field(ge=0, lt=1)]


@runtime_checkable
class Controller(Protocol):
    """A schedule that is told after each step what the step's global batch measured."""

    has_feedback: Literal[True]
    """Says of a schedule that it is a controller; a plain function of the step has no such attribute."""

    def __call__(self, at: TrainingStep) -> Scalar: ...

    def observe(self, distortion: Scalar, kl: Scalar) -> None:
        """Take the means over the global batch, in nats per image; change the multiplier for the next step."""


def has_feedback(schedule: Schedule | Controller) -> TypeGuard[Controller]:
    """Return whether a beta schedule follows what the model does, and so is to be told."""
    return getattr(schedule, "has_feedback", False)


def check_bounds(minimum: float, maximum: float) -> None:
    """Raise UserError where the least multiplier is not less than the largest."""
    if minimum >= maximum:
        told = f"beta_schedule.minimum={minimum:g}: must be less than beta_schedule.maximum={maximum:g}"
        raise UserError(told, Code.INVALID, ["beta_schedule.minimum", "beta_schedule.maximum"])


class Geco(nn.Module):
    """Holds the distortion at a target (Rezende & Viola 2018, algorithm 1).

    With C = distortion - target and its moving average C_ma = decay C_ma + (1 - decay) C, the paper multiplies the
    constraint by lambda, which grows by exp(rate C_ma), and leaves the KL alone. We divide that loss by lambda, which
    moves no optimum: the KL's multiplier is 1 / lambda, which shrinks by exp(-rate C_ma). Nats are per image, the rate
    per nat and step; decay is the paper's alpha, 0.99.
    """

    has_feedback: Literal[True] = True
    log_multiplier: Tensor
    average: Tensor
    n_seen: Tensor

    def __init__(
        self, *, target_distortion: Finite, rate: Positive, decay: Decay, minimum: Positive, maximum: Positive
    ) -> None:
        super().__init__()
        check_bounds(minimum, maximum)
        self.target_distortion = target_distortion
        self.rate = rate
        self.decay = decay
        self.log_bounds = (math.log(minimum), math.log(maximum))
        start = min(max(0.0, self.log_bounds[0]), self.log_bounds[1])  # lambda starts at 1
        self.register_buffer("log_multiplier", torch.tensor(start))
        self.register_buffer("average", torch.tensor(0.0))
        self.register_buffer("n_seen", torch.tensor(0))

    def forward(self, at: TrainingStep) -> Scalar:
        return self.log_multiplier.exp()

    @torch.no_grad()
    def observe(self, distortion: Scalar, kl: Scalar) -> None:
        constraint = distortion - self.target_distortion
        moved = self.decay * self.average + (1 - self.decay) * constraint
        self.average.copy_(torch.where(self.n_seen == 0, constraint, moved))
        self.log_multiplier.sub_(self.rate * self.average).clamp_(*self.log_bounds)
        self.n_seen.add_(1)


class ControlVAE(nn.Module):
    """Holds the KL at a target by a proportional-integral controller (Shao et al. 2020, section 4).

    With e = target - KL: multiplier = clip(Kp / (1 + exp(e)) - Ki sum(e), minimum, maximum). The sum stops growing
    while the multiplier is clipped, so that it has nothing to unwind when the error changes its sign. The gains are Kp
    and Ki, nats are per image; ``kl_weight`` times ``maximum`` is the largest KL weight that the controller can use.
    """

    has_feedback: Literal[True] = True
    integral: Tensor
    multiplier: Tensor

    def __init__(
        self,
        *,
        target_kl: Positive,
        proportional_gain: NonNegative,
        integral_gain: Positive,
        minimum: NonNegative,
        maximum: Positive,
    ) -> None:
        super().__init__()
        check_bounds(minimum, maximum)
        self.target_kl = target_kl
        self.proportional_gain = proportional_gain
        self.integral_gain = integral_gain
        self.bounds = (minimum, maximum)
        self.register_buffer("integral", torch.tensor(0.0))
        self.register_buffer("multiplier", torch.tensor(float(minimum)))

    def forward(self, at: TrainingStep) -> Scalar:
        return self.multiplier.clone()

    @torch.no_grad()
    def observe(self, distortion: Scalar, kl: Scalar) -> None:
        error = self.target_kl - kl
        candidate = self.integral + error
        raw = self.proportional_gain * torch.sigmoid(-error) - self.integral_gain * candidate
        clipped = raw.clamp(*self.bounds)
        self.integral.copy_(torch.where(clipped == raw, candidate, self.integral))
        self.multiplier.copy_(clipped)
