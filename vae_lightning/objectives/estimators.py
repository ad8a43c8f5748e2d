"""How the gradient of an expectation over codes z ~ q(z|x) reaches the encoder.

Every estimator leaves the value of a bound alone and decides its gradient only. The decoder's gradient is the
plain one in all of them. Each says of which objectives it is a gradient.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.distributions import Posterior, Prior
from vae_lightning.distributions.shapes import Codes, KlWeight
from vae_lightning.objectives.draw import Draw
from vae_lightning.objectives.protocol import KlTerm, Objective


class EstimatorFacts:
    """Facts of an estimator that says nothing else: the base of ours, and of a user's own."""

    kl: KlTerm
    needs_density: bool = True
    least_samples: int = 1

    def why_undefined(self, objective: Objective) -> str | None:
        return None

    def caveat(self, objective: Objective) -> str | None:
        return None


def log_mean_exp(log_weights: Float[Tensor, "samples batch"]) -> Float[Tensor, " batch"]:
    return log_weights.logsumexp(0) - math.log(len(log_weights))


class Pathwise(EstimatorFacts):
    """The reparameterisation trick: gradients run through the codes (Kingma & Welling 2013, section 2.4).

    Args:
        kl: the KL term in closed form where there is one (less variance), or from the same codes.
    """

    def __init__(self, *, kl: KlTerm) -> None:
        self.kl = kl
        self.needs_density = kl == "sampled"

    def draw(self, posterior: Posterior, prior: Prior, noise: Codes) -> Draw:
        return Draw(posterior.sample(noise), posterior, prior, noise)

    def expectation(self, values: Float[Tensor, "samples batch *units"], draw: Draw) -> Float[Tensor, "batch *units"]:
        return values.mean(0)

    def log_mean_exp(
        self, log_weights: Float[Tensor, "samples batch"], draw: Draw, kl_weight_in_force: KlWeight
    ) -> Float[Tensor, " batch"]:
        return log_mean_exp(log_weights)


class StickingTheLanding(Pathwise):
    """The pathwise gradient without its score term, whose mean is zero (Roeder et al. 2017, section 3).

    The KL term comes from the codes, for there is no score in the closed form to leave out. The gradient vanishes
    when q is the true posterior, sample by sample. Biased for L_k with k > 1.
    """

    def __init__(self) -> None:
        super().__init__(kl="sampled")

    def caveat(self, objective: Objective) -> str | None:
        if not objective.importance_weighted or objective.n_samples == 1:
            return None
        return (
            f"sticking_the_landing is biased for iwae with {objective.n_samples} samples (Tucker et al. 2018); "
            "estimator=dreg is not"
        )

    def draw(self, posterior: Posterior, prior: Prior, noise: Codes) -> Draw:
        return Draw(posterior.sample(noise), posterior.detached(), prior)


class DoublyReparameterized(StickingTheLanding):
    """DReG: the encoder gets sum_i v_i^2 (d log w_i / d z_i) (d z_i / d phi), v the normalised weights, of L_k.

    Unbiased, and its signal does not drown in noise as k grows (Tucker et al. 2018, eq. 8). With a KL weight a the
    score term that is turned into a path carries a, and v_i^2 becomes v_i (1 - a + a v_i).
    """

    def why_undefined(self, objective: Objective) -> str | None:
        if objective.importance_weighted:
            return None
        return "dreg: is defined for objective=iwae; for this objective take estimator=sticking_the_landing"

    def caveat(self, objective: Objective) -> str | None:
        return None

    def log_mean_exp(
        self, log_weights: Float[Tensor, "samples batch"], draw: Draw, kl_weight_in_force: KlWeight
    ) -> Float[Tensor, " batch"]:
        normalised = log_weights.detach().softmax(0).unsqueeze(-1)
        factor = 1 - kl_weight_in_force + kl_weight_in_force * normalised
        if draw.codes.requires_grad:
            # The plain gradient already carries v_i; on its way into the encoder it gets the other factor.
            draw.codes.register_hook(lambda gradient: gradient * factor)
        return log_mean_exp(log_weights)


class ScoreFunction(EstimatorFacts):
    """REINFORCE: f grad log q(z|x), needing no gradient of f by z (Williams 1992; Mnih & Gregor 2014).

    Args:
        baseline: ``none``, or ``leave_one_out``: from f of one code the mean of the others' is taken, which moves no
            mean and needs two codes per image (Kool et al. 2019).
        kl: the KL term in closed form where there is one, or from the same codes.
    """

    def __init__(self, *, baseline: Literal["none", "leave_one_out"], kl: KlTerm) -> None:
        self.baseline = baseline
        self.kl = kl
        self.least_samples = 2 if baseline == "leave_one_out" else 1

    def why_undefined(self, objective: Objective) -> str | None:
        if objective.needs_path_gradient:
            return "score_function: this objective needs gradients that run through the codes; take estimator=pathwise"
        return None

    def draw(self, posterior: Posterior, prior: Prior, noise: Codes) -> Draw:
        return Draw(posterior.sample(noise).detach(), posterior, prior)

    def expectation(self, values: Float[Tensor, "samples batch *units"], draw: Draw) -> Float[Tensor, "batch *units"]:
        signal = values.detach()
        if self.baseline == "leave_one_out":
            signal = signal - others_mean(signal)
        zeros = zero_with_score(draw).reshape(values.shape[:2] + (1,) * (values.ndim - 2))
        return (values + signal * zeros).mean(0)

    def log_mean_exp(
        self, log_weights: Float[Tensor, "samples batch"], draw: Draw, kl_weight_in_force: KlWeight
    ) -> Float[Tensor, " batch"]:
        bound = log_mean_exp(log_weights)
        signal = bound.detach().expand_as(log_weights)
        if self.baseline == "leave_one_out":
            signal = signal - others_log_mean_exp(log_weights.detach())
        return bound + (signal * zero_with_score(draw)).sum(0)


class Vimco(EstimatorFacts):
    """Score function for L_k with a leave-one-out baseline in which the geometric mean of the other weights stands
    for the one left out (Mnih & Rezende 2016, eq. 7-9). Needs two codes per image."""

    kl = "sampled"
    least_samples = 2

    def why_undefined(self, objective: Objective) -> str | None:
        if objective.importance_weighted:
            return None
        return "vimco: is defined for objective=iwae; for this objective take estimator=score_function"

    def draw(self, posterior: Posterior, prior: Prior, noise: Codes) -> Draw:
        return Draw(posterior.sample(noise).detach(), posterior, prior)

    def expectation(self, values: Float[Tensor, "samples batch *units"], draw: Draw) -> Float[Tensor, "batch *units"]:
        raise NotImplementedError("VIMCO is defined for the bound L_k only")

    def log_mean_exp(
        self, log_weights: Float[Tensor, "samples batch"], draw: Draw, kl_weight_in_force: KlWeight
    ) -> Float[Tensor, " batch"]:
        bound = log_mean_exp(log_weights)
        constant = log_weights.detach()
        left_out = torch.eye(len(constant), dtype=torch.bool, device=constant.device).unsqueeze(-1)
        without_each = torch.where(left_out, others_mean(constant).unsqueeze(1), constant)
        baselines = without_each.logsumexp(1) - math.log(len(constant))
        return bound + ((bound.detach() - baselines) * zero_with_score(draw)).sum(0)


def zero_with_score(draw: Draw) -> Float[Tensor, "samples batch"]:
    """Return zeros whose gradient is grad log q(z|x): what is multiplied by them changes a gradient and no value."""
    log_q = draw.log_q_per_unit.sum(-1)
    return log_q - log_q.detach()


def others_mean(values: Float[Tensor, "samples *rest"]) -> Float[Tensor, "samples *rest"]:
    """Return for each sample the mean over the other samples."""
    return (values.sum(0) - values) / (len(values) - 1)


def others_log_mean_exp(log_weights: Float[Tensor, "samples batch"]) -> Float[Tensor, "samples batch"]:
    """Return for each sample the log of the mean weight of the other samples."""
    itself = torch.eye(len(log_weights), dtype=torch.bool, device=log_weights.device).unsqueeze(-1)
    others = torch.where(itself, -torch.inf, log_weights)
    return others.logsumexp(1) - math.log(len(log_weights) - 1)
