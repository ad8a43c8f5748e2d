"""Which choices go together: what is undefined is refused before anything starts, what is biased is said.

Only our own classes are judged; a user's class is taken at its word.
"""

from typing import TYPE_CHECKING

from torch.optim import Optimizer

from vae_lightning.distributions import (
    BatchNormPosterior,
    BernoulliLikelihood,
    ContinuousBernoulliLikelihood,
    Likelihood,
    Point,
    PointPosterior,
    Posterior,
    PosteriorFamily,
)
from vae_lightning.errors import UserError
from vae_lightning.objectives import (
    Capacity,
    DoublyReparameterized,
    Elbo,
    Estimator,
    FreeBits,
    Iwae,
    Mmd,
    Objective,
    ScoreFunction,
    StickingTheLanding,
    Vimco,
)
from vae_lightning.optimizers import Aggressive

if TYPE_CHECKING:
    from vae_lightning.module import VAE
from vae_lightning.schedules import Controller


def check_estimator(objective: Objective, estimator: Estimator) -> None:
    """Raise UserError where the estimator does not define a gradient of the objective."""
    importance_weighted = isinstance(objective, Iwae)
    n_samples = objective.n_samples
    if isinstance(estimator, Vimco | DoublyReparameterized) and not importance_weighted:
        name, instead = (
            ("vimco", "score_function") if isinstance(estimator, Vimco) else ("dreg", "sticking_the_landing")
        )
        raise UserError(f"estimator={name}: is defined for objective=iwae; for this objective take estimator={instead}")
    if isinstance(estimator, Vimco) and n_samples < 2:
        raise UserError(f"estimator=vimco: its baseline needs objective.n_samples of at least 2, not {n_samples}")
    if isinstance(estimator, ScoreFunction):
        if estimator.baseline == "leave_one_out" and n_samples < 2:
            raise UserError(
                f"estimator.baseline=leave_one_out: needs objective.n_samples of at least 2, not {n_samples}; "
                "with one code per image take estimator.baseline=none"
            )
        if isinstance(objective, Mmd):
            raise UserError(
                "estimator=score_function: objective=mmd needs gradients that run through the codes; "
                "take estimator=pathwise"
            )


def caveats(
    objective: Objective, estimator: Estimator, posterior: PosteriorFamily, likelihood: Likelihood, binarize: str
) -> list[str]:
    """Say what is defined and yet may not be what it seems: biased gradients, sums that are no bounds, idle keys."""
    notes = []
    importance_weighted = isinstance(objective, Iwae) and objective.n_samples > 1
    if type(estimator) is StickingTheLanding and importance_weighted:
        notes.append(
            f"sticking_the_landing is biased for iwae with {objective.n_samples} samples (Tucker et al. 2018); "
            "estimator=dreg is not"
        )
    if isinstance(likelihood, BernoulliLikelihood) and binarize == "none":
        notes.append("bernoulli on grey pixels is a cross-entropy: what is shown as ELBO bounds no log p(x)")
    if not has_weighted_kl(objective, posterior):
        notes.append("there is no KL in this loss: kl_weight and beta_schedule change nothing")
    return notes


def has_weighted_kl(objective: Objective, posterior: PosteriorFamily) -> bool:
    """Whether kl_weight multiplies anything."""
    return not isinstance(posterior, PointPosterior) and not (isinstance(objective, Mmd) and objective.alpha == 1)


def is_weighted_elbo(objective: Objective, posterior: PosteriorFamily) -> bool:
    """Whether kl_weight multiplies the whole KL of an ELBO: the model that closed forms and forecasts are of."""
    return type(objective) is Elbo and posterior.has_density


def critical_quantity(model: "VAE", kl_weight_in_force: float) -> float | None:
    """Return kl_weight x sigma^2, above which no direction of the data can live; None where that is not the rule.

    It is the rule for a weighted ELBO whose weight no controller moves, and for a decoder with one sigma^2.
    """
    variance = model.likelihood.variance
    is_rule = is_weighted_elbo(model.objective, model.posterior) and not isinstance(model.beta_schedule, Controller)
    return kl_weight_in_force * variance if is_rule and variance is not None else None


def why_no_price(objective: Objective, posterior: PosteriorFamily, kl_weight: float) -> str | None:
    """Say why a nat of KL has no price in the loss, so that no unit can be said to pay its way; None where it has."""
    if not has_weighted_kl(objective, posterior):
        return "there is no KL in this loss"
    if isinstance(objective, Capacity):
        return "objective=capacity holds the KL at a value, whatever a nat earns"
    if isinstance(objective, FreeBits) and objective.free_nats > 0:
        return "objective=free_bits gives away the first nats of each unit"
    return "kl_weight is 0: a nat costs nothing" if kl_weight == 0 else None


def kl_coefficient(objective: Objective, kl_weight: float) -> float:
    """Return what the loss charges for a nat of KL."""
    return kl_weight * (1 - objective.alpha) if isinstance(objective, Mmd) else kl_weight


def kl_computation(objective: Objective, posterior: Posterior) -> str:
    """Say how the KL comes about, in the loss and in what is reported."""
    if isinstance(posterior, Point):
        return "none: a point has no bound, and what is shown as ELBO is minus the distortion"
    if posterior.kl_per_unit() is None:
        return "Monte Carlo from the same samples"
    importance_weighted = isinstance(objective, Iwae) and objective.n_samples > 1
    if importance_weighted or objective.estimator.kl == "sampled":
        return "Monte Carlo from the same samples in the loss, closed form in what is reported"
    return "closed form"


def check_posterior(posterior: PosteriorFamily, objective: Objective, estimator: Estimator, latent_dim: int) -> None:
    """Raise UserError where the objective or the estimator asks of the posterior what it does not have."""
    if isinstance(posterior, PointPosterior):
        if isinstance(estimator, ScoreFunction | Vimco) or estimator.kl == "sampled":
            raise UserError(
                "posterior=point: this estimator needs the density q(z|x), and a point has none; "
                "take estimator=pathwise with estimator.kl=closed_form"
            )
        if isinstance(objective, Iwae | FreeBits | Capacity):
            raise UserError("posterior=point: it has no KL that this objective could use; take objective=elbo or mmd")
    if isinstance(objective, FreeBits) and latent_dim % objective.group_size:
        raise UserError(
            f"objective.group_size={objective.group_size}: must divide latent_dim={latent_dim} without rest"
        )


def check_controller(beta_schedule: object, objective: Objective, posterior: PosteriorFamily, kl_weight: float) -> None:
    """Raise UserError where a controller has nothing to control."""
    if isinstance(beta_schedule, Controller):
        if not has_weighted_kl(objective, posterior):
            raise UserError(
                "beta_schedule: with posterior=point or objective.alpha=1 there is no KL that a controller could weigh"
            )
        if kl_weight == 0:
            raise UserError("kl_weight=0: a controlled beta_schedule multiplies it; it must be above 0")


def check_optimizer(optimizer: Optimizer, posterior: PosteriorFamily, precision: str) -> None:
    """Raise UserError where aggressive inference cannot judge itself, or cannot step."""
    if isinstance(optimizer, Aggressive):
        if isinstance(posterior, PointPosterior):
            raise UserError("optimizer=aggressive: it is led by a mutual information, and posterior=point has none")
        if precision == "16-mixed":
            raise UserError(
                "trainer.precision=16-mixed: optimizer=aggressive steps the encoder without a gradient scaler; "
                "take 32-true or bf16-mixed"
            )


def check_batch(objective: Objective, posterior: PosteriorFamily, batch_size: int) -> None:
    """Raise UserError where something is a statistic of the batch and the batch is one image."""
    if batch_size == 1 and (isinstance(objective, Mmd) or isinstance(posterior, BatchNormPosterior)):
        raise UserError("data.batch_size=1: objective=mmd and posterior=batch_norm need at least 2 images in a batch")


def check_pixels(likelihood: Likelihood, in_unit_interval: bool, binarize: str) -> None:
    """Raise UserError where the likelihood is not one of these data."""
    if likelihood.needs_unit_interval and not in_unit_interval:
        raise UserError("likelihood: this one is of pixels in [0, 1], and these data are not; take likelihood=gaussian")
    if isinstance(likelihood, ContinuousBernoulliLikelihood) and binarize != "none":
        raise UserError(
            f"likelihood=continuous_bernoulli: a density has no largest value on pixels that are all 0 or 1 "
            f"(data.binarize={binarize}); take likelihood=bernoulli"
        )
