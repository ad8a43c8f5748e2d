"""How the gradient of an expectation over codes z ~ q(z|x) reaches the encoder.

No estimator changes the value of a bound, nor the decoder's gradient. Each says of which objectives it is a gradient.
"""

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vae_lightning.distributions import Posterior, Prior
from vae_lightning.distributions.shapes import Codes, KlWeight
from vae_lightning.objectives.bound import Draw, OfImages, OfSamples
from vae_lightning.objectives.protocol import KlTerm, MeanTerms, Objective, SampledTerms


class EstimatorFacts:
    """Facts of an estimator that says nothing else: the base of ours, and of a user's own."""

    kl: KlTerm
    needs_density: bool = True
    least_samples: int = 1

    def why_undefined(self, objective: Objective) -> str | None:
        return None

    def caveat(self, objective: Objective) -> str | None:
        return None


def log_mean_exp(log_weights: OfSamples) -> OfImages:
    return log_weights.logsumexp(0) - math.log(len(log_weights))


class Pathwise(EstimatorFacts):
    """The reparameterisation trick: gradients run through the codes (Kingma & Welling 2013, section 2.4)."""

    def __init__(self, *, kl: KlTerm) -> None:
        self.kl = kl
        self.needs_density = kl == "sampled"

    def draw(self, posterior: Posterior, prior: Prior, noise: Codes) -> Draw:
        return Draw(posterior.sample(noise), posterior, prior, noise)

    def expectation(self, values: SampledTerms, draw: Draw) -> MeanTerms:
        return values.mean(0)

    def log_mean_exp(self, log_weights: OfSamples, draw: Draw, exponent: KlWeight) -> OfImages:
        return log_mean_exp(log_weights)


class StickingTheLanding(Pathwise):
    """The pathwise gradient without its score term, whose mean is zero (Roeder et al. 2017, section 3).

    The KL term comes from the codes: its closed form has no score to leave out. Where q is the true posterior, the
    gradient of every sample vanishes. Biased for L_k with k > 1.
    """

    def __init__(self) -> None:
        super().__init__(kl="sampled")

    def caveat(self, objective: Objective) -> str | None:
        if not objective.importance_weighted or objective.n_samples == 1:
            return None
        biased = f"sticking_the_landing is biased for iwae with {objective.n_samples} samples (Tucker et al. 2018)"
        return f"{biased}; estimator=dreg is not"

    def draw(self, posterior: Posterior, prior: Prior, noise: Codes) -> Draw:
        return Draw(posterior.sample(noise), posterior.detached(), prior)


class DoublyReparameterized(StickingTheLanding):
    """DReG: the encoder gets sum_i v_i^2 (d log w_i / d z_i) (d z_i / d phi), v the normalised weights, of L_k.

    Unbiased, and its signal does not drown in noise as k grows (Tucker et al. 2018, eq. 8). With an exponent a of p / q
    the score term that is turned into a path carries a, and v_i^2 becomes v_i (1 - a + a v_i).
    """

    caveat = EstimatorFacts.caveat

    def why_undefined(self, objective: Objective) -> str | None:
        if objective.importance_weighted:
            return None
        return "dreg: is defined for objective=iwae; for this objective take estimator=sticking_the_landing"

    def log_mean_exp(self, log_weights: OfSamples, draw: Draw, exponent: KlWeight) -> OfImages:
        normalised = log_weights.detach().softmax(0).unsqueeze(-1)
        factor = 1 - exponent + exponent * normalised
        if draw.codes.requires_grad:
            # The plain gradient already carries v_i; on its way into the encoder it gets the other factor.
            draw.codes.register_hook(lambda gradient: gradient * factor)
        return log_mean_exp(log_weights)


class ScoreFunction(EstimatorFacts):
    """REINFORCE: f grad log q(z|x), needing no gradient of f by z (Williams 1992; Mnih & Gregor 2014).

    The baseline ``leave_one_out`` takes from f of one code the mean of the others', which moves no mean and needs two
    codes per image (Kool et al. 2019).
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

    def expectation(self, values: SampledTerms, draw: Draw) -> MeanTerms:
        signal = values.detach()
        if self.baseline == "leave_one_out":
            signal = signal - others_mean(signal)
        zeros = zero_with_score(draw).reshape(values.shape[:2] + (1,) * (values.ndim - 2))
        return (values + signal * zeros).mean(0)

    def log_mean_exp(self, log_weights: OfSamples, draw: Draw, exponent: KlWeight) -> OfImages:
        bound = log_mean_exp(log_weights)
        signal = bound.detach().expand_as(log_weights)
        if self.baseline == "leave_one_out":
            signal = signal - others_log_mean_exp(log_weights.detach())
        return bound + (signal * zero_with_score(draw)).sum(0)


class Vimco(ScoreFunction):
    """Score function for L_k with a leave-one-out baseline in which the geometric mean of the other weights stands
    for the one left out (Mnih & Rezende 2016, eq. 7-9). Needs two codes per image.

    A KL beside L_k has no weights, and the plain mean of the others for a baseline.
    """

    def __init__(self) -> None:
        super().__init__(baseline="leave_one_out", kl="sampled")

    def why_undefined(self, objective: Objective) -> str | None:
        if objective.importance_weighted:
            return None
        return "vimco: is defined for objective=iwae; for this objective take estimator=score_function"

    def log_mean_exp(self, log_weights: OfSamples, draw: Draw, exponent: KlWeight) -> OfImages:
        bound = log_mean_exp(log_weights)
        constant = log_weights.detach()
        without_each = torch.where(each_itself(constant), others_mean(constant).unsqueeze(1), constant)
        baselines = without_each.logsumexp(1) - math.log(len(constant))
        return bound + ((bound.detach() - baselines) * zero_with_score(draw)).sum(0)


def zero_with_score(draw: Draw) -> OfSamples:
    """Return zeros whose gradient is grad log q(z|x): what is multiplied by them changes a gradient and no value."""
    log_q = draw.log_q_per_unit.sum(-1)
    return log_q - log_q.detach()


def each_itself(values: OfSamples) -> Bool[Tensor, "samples samples 1"]:
    """Return a mask that is true where a sample meets itself."""
    return torch.eye(len(values), dtype=torch.bool, device=values.device).unsqueeze(-1)


def others_mean(values: Float[Tensor, "samples *rest"]) -> Float[Tensor, "samples *rest"]:
    """Return for each sample the mean over the other samples."""
    return (values.sum(0) - values) / (len(values) - 1)


def others_log_mean_exp(log_weights: OfSamples) -> OfSamples:
    """Return for each sample the log of the mean weight of the other samples."""
    others = torch.where(each_itself(log_weights), -torch.inf, log_weights)
    return others.logsumexp(1) - math.log(len(log_weights) - 1)
