"""The terms of the last training steps, kept on the device and read once every few steps."""

import math
from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.distributions.shapes import KlWeight
from vae_lightning.errors import Code, UserError
from vae_lightning.objectives import Bound

N_LARGEST_TERMS = 3
STEPS_AT_ONCE = 10
Rows = Float[Tensor, "steps columns"]


class StepBuffer:
    """Collects a row per step: loss, KL weight in force, distortion, KL of each unit, averaged over the batch.

    Reading a number from a device waits for it; so nothing is read from the rows while they are added. The averages
    of some steps are taken at once, which costs little more than those of one.
    """

    def __init__(self) -> None:
        self.steps: list[tuple[Bound, KlWeight]] = []
        """The last few, not averaged yet."""
        self.rows: list[Rows] = []
        """This rank's, since the ranks last took their mean."""
        self.over_ranks: list[Rows] = []
        """Earlier ones: means over the ranks. A run that is continued starts with those of its checkpoint."""

    @torch.no_grad()
    def add(self, bound: Bound, kl_weight_in_force: KlWeight) -> None:
        if self.steps and len(bound.distortion) != len(self.steps[-1][0].distortion):  # a smaller last batch
            self._average()
        self.steps.append((Bound(*(term.detach() for term in bound)), kl_weight_in_force))
        if len(self.steps) == STEPS_AT_ONCE:
            self._average()

    @torch.no_grad()
    def _average(self) -> None:
        if not self.steps:
            return
        bounds, weights = zip(*self.steps, strict=True)
        loss, distortion, kl_per_unit = (torch.stack(term) for term in zip(*bounds, strict=True))
        weight = torch.stack([torch.as_tensor(each, dtype=loss.dtype, device=loss.device) for each in weights])
        terms = torch.stack([loss, weight, distortion.mean(1)], dim=1)
        self.rows.append(torch.cat([terms, kl_per_unit.mean(1)], dim=1))
        self.steps.clear()

    def mean_over_ranks(self, mean: Callable[[Tensor], Tensor]) -> Rows:
        """Return all rows, once ``mean`` has taken the mean over the ranks of those that are new."""
        self._average()
        if self.rows:
            self.over_ranks.append(mean(torch.cat(self.rows)))
            self.rows.clear()
        device = self.over_ranks[-1].device if self.over_ranks else None
        return torch.cat([rows.to(device) for rows in self.over_ranks]) if self.over_ranks else torch.empty(0, 0)

    def clear(self) -> None:
        self.steps.clear()
        self.rows.clear()
        self.over_ranks.clear()


def mean_terms(window: Rows) -> dict[str, float]:
    """Return the means over the steps, in nats per image, and the KL weight in force at the last of them."""
    loss, _, distortion, *kl_per_unit = window.mean(0).tolist()
    kl, kl_weight = sum(kl_per_unit), float(window[-1, 1])
    return {"loss": loss, "elbo": -(distortion + kl), "kl": kl, "distortion": distortion, "kl_weight": kl_weight}


def _not_finite(what: str, n_steps: int) -> UserError:
    """Return the error, with the remedies that can help after so many steps: before the first no learning rate can."""
    if n_steps == 0:
        remedy, about = "Scale the data down or try a larger decoder variance", ["data", "likelihood"]
    else:
        remedy = "Try a smaller learning rate, a larger decoder variance or a smaller kl_weight"
        about = ["optimizer", "likelihood", "kl_weight"]
    return UserError(f"{what}. {remedy}.", Code.NOT_FINITE, about)


def check_finite(window: Rows, first_step: int) -> None:
    """Raise UserError when a step's terms were not finite; it names the first such step and its largest terms."""
    bad = ~window.isfinite().all(dim=1)
    if not bad.any():
        return
    row = int(bad.nonzero()[0])
    loss, kl_weight, *terms = window[row].tolist()
    names = ["distortion", *(f"KL of unit {unit}" for unit in range(len(terms) - 1))]
    # Not-a-number compares with nothing, so it is put first by hand.
    ranked = sorted(zip(names, terms, strict=True), key=lambda pair: (not math.isnan(pair[1]), -abs(pair[1])))
    largest = ", ".join(f"{name} = {value:.4g}" for name, value in ranked[:N_LARGEST_TERMS])
    step = first_step + row
    found = f"the loss is {loss:.4g} at step {step}, where kl_weight is {kl_weight:g}"
    raise _not_finite(f"{found}; largest terms, in nats per image: {largest}", step)


def check_finite_evaluation(terms: dict[str, float], step: int) -> None:
    """Raise UserError when the terms of held-out images are not finite after ``step`` steps."""
    if not all(math.isfinite(value) for value in terms.values()):
        found = ", ".join(f"{name} = {value:.4g}" for name, value in terms.items())
        raise _not_finite(f"the model's terms on held-out images are not finite after {step} steps: {found}", step)


def check_finite_weights(weights: Iterable[Tensor], step: int) -> None:
    """Raise UserError when weights are not finite."""
    if not all(bool(tensor.isfinite().all()) for tensor in weights):
        raise _not_finite(f"the model's weights are not finite after {step} steps", step)
