"""Which choices go together: a short list of questions to the parts.

What is undefined is refused before anything starts; what is biased, idle or no bound is said.
"""

from collections.abc import Iterator, Mapping

import torch
from torch.optim import Optimizer

from vae_lightning.data.loader import as_floats
from vae_lightning.data.scale import IN_UNIT_INTERVAL, IN_WORDS
from vae_lightning.data.splits import Images
from vae_lightning.distributions import Likelihood, PosteriorFamily, Prior
from vae_lightning.errors import Code, UserError
from vae_lightning.objectives import Estimator, Objective, Unpriced
from vae_lightning.optimizers import hooks_of
from vae_lightning.schedules import Controller, Schedule, has_feedback
from vae_lightning.theory import Forecast, NoForecast
from vae_lightning.theory.eigenvalues import PerDirection

AnySchedule = Schedule | Controller
Conflicts = Iterator[tuple[str, tuple[str, ...]]]
"""What is wrong, and the config keys by which it was chosen."""


def members_of(role: type) -> list[str]:
    """Return the names of what a protocol asks for."""
    return [name for name in vars(role) if name == "__call__" or not name.startswith("_")]


def check_complete(key: str, target: str, part: object, role: type) -> None:
    """Raise UserError where a part lacks members of its role, a protocol; the error names them."""
    missing = sorted(name for name in members_of(role) if not hasattr(part, name))
    if missing:
        reason = f"{key}._target_={target}: lacks what a {role.__name__} must have: {', '.join(missing)}"
        raise UserError(reason, Code.INCOMPLETE_PART, [f"{key}._target_", *missing])


def check_together(conflicts: Conflicts) -> None:
    """Raise UserError for the first of some conflicts."""
    for reason, about in conflicts:
        raise UserError(reason, Code.INCOMPATIBLE, about)


def part_conflicts(
    objective: Objective,
    posterior: PosteriorFamily,
    beta_schedule: AnySchedule,
    optimizer: Optimizer,
    *,
    kl_weight: float,
    latent_dim: int,
    batch_size: int,
    precision: str,
) -> Conflicts:
    """Say which of the parts of a model are not defined together."""
    estimator, is_point, controlled = objective.estimator, not posterior.has_density, has_feedback(beta_schedule)
    if reason := estimator.why_undefined(objective):
        yield f"estimator={reason}", ("estimator", "objective")
    if objective.n_samples < (least := estimator.least_samples):
        reason = f"objective.n_samples={objective.n_samples}: this estimator needs at least {least} codes per image"
        yield reason, ("objective.n_samples", "estimator")
    if is_point and estimator.needs_density:
        reason = "posterior: has no density q(z|x); take estimator=pathwise with estimator.kl=closed_form"
        yield reason, ("posterior", "estimator")
    if is_point and objective.needs_density:
        reason = "posterior: has no KL for the objective; take objective=elbo or mmd"
        yield reason, ("posterior", "objective")
    if latent_dim % (divisor := objective.latent_dim_multiple):
        reason = f"latent_dim={latent_dim}: the objective needs a multiple of {divisor} (objective.group_size)"
        yield reason, ("latent_dim", "objective.group_size")
    for key, least in (("objective", objective.least_batch_size), ("posterior", posterior.least_batch_size)):
        if batch_size < least:
            reason = f"data.batch_size={batch_size}: this {key} needs at least {least} images in a batch"
            yield reason, ("data.batch_size", key)
    if controlled and not has_weighted_kl(objective, posterior):
        reason = "beta_schedule: there is no KL in this loss that a controller could weigh"
        yield reason, ("beta_schedule", "objective", "posterior")
    if controlled and kl_weight == 0:
        reason = "kl_weight=0: a controlled beta_schedule multiplies it; it must be above 0"
        yield reason, ("kl_weight", "beta_schedule")
    if is_point and hooks_of(optimizer).needs_density:
        reason = "optimizer: this one is led by a mutual information, and this posterior has none"
        yield reason, ("optimizer", "posterior")
    if precision == "16-mixed" and hooks_of(optimizer).steps_unscaled:
        reason = "trainer.precision=16-mixed: this optimizer has no gradient scaler; take 32-true or bf16-mixed"
        yield reason, ("trainer.precision", "optimizer")


def batch_conflicts(objective: Objective, posterior: PosteriorFamily, smallest_batch: int) -> Conflicts:
    """Say why a part cannot work on the last batch of an epoch."""
    for key, least in (("objective", objective.least_batch_size), ("posterior", posterior.least_batch_size)):
        if smallest_batch < least:
            reason = (
                f"data.drop_last=false: the last batch of an epoch has {smallest_batch} image, and this {key} needs "
            )
            yield f"{reason}at least {least}; take true", ("data.drop_last", key)


def pixel_conflicts(likelihood: Likelihood, scale: str, binarize: str, splits: Mapping[str, Images]) -> Conflicts:
    """Say why a likelihood is not one of data on some scale, all parts of which are ``splits``."""
    meaning = f"these data are {IN_WORDS.get(scale, scale)} (data.scale={scale})"
    if likelihood.needs_unit_interval and scale not in IN_UNIT_INTERVAL:
        reason = f"likelihood: this one is of pixels in [0, 1], and {meaning}; take likelihood=gaussian"
        other = " likelihood.mean=identity" if scale == "real" else " likelihood.mean=identity, or poisson"
        yield reason + other, ("likelihood", "data.scale")
    if likelihood.means_in_unit_interval and scale not in IN_UNIT_INTERVAL:
        remedy = "take likelihood=poisson, data.scale=bytes if they are pixels of 0 to 255, or likelihood.mean=identity"
        if scale == "real":
            remedy = "take likelihood.mean=identity, or divide by 255 what are pixels of 0 to 255"
        reason = f"likelihood.mean=sigmoid: its means lie in [0, 1], and {meaning}; {remedy}"
        yield reason, ("likelihood.mean", "data.scale")
    if likelihood.needs_counts and scale not in ("counts", "binary"):
        reason = f"likelihood: this one is of counts, and {meaning}; take data.scale=counts if they are counts"
        yield reason, ("likelihood", "data.scale")
    most = likelihood.largest_count
    if most is not None and (found := max(float(as_floats(part.pixels.max())) for part in splits.values())) > most:
        reason = f"likelihood.n_classes={most + 1}: its classes are 0 to {most}, and these data go up to "
        remedy = f"{found:.0f}; take likelihood.n_classes={found + 1:.0f}, or likelihood=poisson of what is counted"
        yield reason + remedy, ("likelihood.n_classes", "data")
    if likelihood.needs_grey_pixels and binarize != "none":
        reason = f"data.binarize={binarize}: this density is unbounded on pixels of 0 and 1; take likelihood=bernoulli"
        yield reason, ("likelihood", "data.binarize")


def caveats(
    objective: Objective, estimator: Estimator, posterior: PosteriorFamily, likelihood: Likelihood, binarize: str
) -> list[str]:
    """Say what is defined and yet may not be what it seems: biased gradients, sums that are no bounds, idle keys."""
    grey = "on grey pixels this likelihood is a cross-entropy: what is shown as ELBO bounds no log p(x)"
    idle = "there is no KL in this loss: kl_weight and beta_schedule change nothing"
    notes = (
        estimator.caveat(objective),
        grey if likelihood.is_binary and binarize == "none" else None,
        None if has_weighted_kl(objective, posterior) else idle,
    )
    return [note for note in notes if note]


def has_weighted_kl(objective: Objective, posterior: PosteriorFamily) -> bool:
    """Return whether kl_weight multiplies anything."""
    return posterior.has_density and objective.weighs_kl


def is_weighted_elbo(objective: Objective, posterior: PosteriorFamily) -> bool:
    """Return whether kl_weight multiplies the whole KL of an ELBO: the model that closed forms and forecasts are of."""
    return posterior.has_density and objective.is_weighted_elbo


def why_units_live(objective: Objective, posterior: PosteriorFamily) -> str | None:
    """Say why no KL weight decides which units live; None where it does."""
    nothing = torch.empty(0)
    critical = objective.critical_kl_weights(nothing)
    if isinstance(critical, Unpriced):
        return critical.reason
    if posterior.least_variance_of_mean > 0:
        return f"each unit of this posterior has at least {posterior.least_kl_per_unit:.3g} nats whatever kl_weight is"
    return None


def under_objective(found: Forecast | NoForecast, objective: Objective) -> Forecast | NoForecast:
    """Return a forecast of a plain ELBO as it is under an objective that charges otherwise, where that one answers."""
    if isinstance(found, NoForecast) or isinstance(objective.critical_kl_weights(found.critical_weights), Unpriced):
        return found

    def critical(of_elbo: PerDirection) -> PerDirection:
        answer = objective.critical_kl_weights(of_elbo)
        return of_elbo if isinstance(answer, Unpriced) else answer

    return found.charged(critical)


def ceiling_price(
    objective: Objective, posterior: PosteriorFamily, schedule: AnySchedule, kl_weight_in_force: float
) -> float | None:
    """Return what divides the KL's ceiling: the part of a nat's price that no bound gives back; None where a loss pays
    for KL or has none, or a controller holds no price."""
    if has_feedback(schedule) or not has_weighted_kl(objective, posterior):
        return None
    price = objective.kl_coefficient(kl_weight_in_force) if objective.is_weighted_elbo else None
    if objective.importance_weighted and objective.n_samples > 1:
        price = kl_weight_in_force - 1  # of E L_k - (w - 1) KL, in which L_k is a bound on log p(x) whatever the KL
    return price if isinstance(price, float) and price > 0 else None


def critical_quantity(
    objective: Objective, posterior: PosteriorFamily, likelihood: Likelihood, schedule: AnySchedule, kl_weight: float
) -> float | None:
    """Return kl_weight in force x sigma^2, above which no direction of the data can live; None where it is no rule.

    It is the rule for a weighted ELBO whose weight no controller moves, and for a decoder with one sigma^2.
    """
    is_rule = is_weighted_elbo(objective, posterior) and not has_feedback(schedule)
    return kl_weight * likelihood.variance if is_rule and likelihood.variance is not None else None


def why_no_price(objective: Objective, posterior: PosteriorFamily, kl_weight_in_force: float) -> str | None:
    """Say why a nat of KL has no price in the loss, so that no unit can be said to pay its way; None where it has."""
    if not has_weighted_kl(objective, posterior):
        return "there is no KL in this loss"
    price = objective.kl_coefficient(kl_weight_in_force)
    return price.reason if isinstance(price, Unpriced) else None


def kl_coefficient(objective: Objective, kl_weight_in_force: float) -> float:
    """Return what the loss charges for a nat of KL; not a number where it has no price."""
    price = objective.kl_coefficient(kl_weight_in_force)
    return float("nan") if isinstance(price, Unpriced) else price


def kl_computation(objective: Objective, posterior: PosteriorFamily, prior: Prior) -> str:
    """Say how the KL comes about, in the loss and in what is reported."""
    if not posterior.has_density:
        return "none: a point has no bound, and what is shown as ELBO is minus the distortion"
    if not prior.has_closed_form_kl(posterior):
        return "Monte Carlo from the same samples"
    if (objective.importance_weighted and objective.n_samples > 1) or objective.estimator.kl == "sampled":
        return "Monte Carlo from the same samples in the loss, closed form in what is reported"
    return "closed form"
