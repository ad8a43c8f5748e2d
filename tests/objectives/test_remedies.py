"""Free bits, capacity, MMD and importance weighting: each is the ELBO where it must be, and is itself elsewhere."""

import copy
import math

import pytest
import torch
from models import (
    DECODER,
    LIKELIHOOD,
    MOMENT,
    PIXELS,
    POSTERIOR,
    PRIOR,
    VARIANCE,
    gaussian,
    identity,
    normals,
    true_posterior,
)
from torch import Tensor

from vae_lightning.distributions import (
    BernoulliLikelihood,
    CategoricalLikelihood,
    ContinuousBernoulliLikelihood,
    DiscretizedLogisticLikelihood,
    FullCovariancePosterior,
    GaussianLearnedLikelihood,
    GaussianOptimalLikelihood,
    GaussianPerPixelLikelihood,
    LocationScalePosterior,
    NegativeBinomialLikelihood,
    PosteriorFamily,
    StudentTLikelihood,
    laplace_noise,
)
from vae_lightning.distributions.shapes import KlWeight
from vae_lightning.errors import UserError
from vae_lightning.objectives import (
    Bound,
    Capacity,
    DoublyReparameterized,
    Elbo,
    Estimator,
    FreeBits,
    Iwae,
    Mmd,
    Objective,
    Pathwise,
    ScoreFunction,
    StickingTheLanding,
    Vimco,
    mmd_from_prior,
)
from vae_lightning.training_step import TrainingStep

PATHWISE = Pathwise(kl="closed_form")
ELBO = Elbo(PATHWISE, n_samples=1)
MEAN_KL = POSTERIOR.kl_per_unit().mean(0)
NOISE = normals(1, 5, 2)


def bound_of(objective: Objective, noise: Tensor = NOISE, kl_weight: float = 1.0, at: TrainingStep = MOMENT) -> Bound:
    return objective(PIXELS, POSTERIOR, PRIOR, DECODER, LIKELIHOOD, noise, kl_weight, at)


def free_bits(free_nats: float, group_size: int = 1) -> FreeBits:
    return FreeBits(PATHWISE, n_samples=1, free_nats=free_nats, group_size=group_size)


def capacity(c_max: float, growth: float | str = 0.5, gamma: float = 100.0) -> Capacity:
    return Capacity(PATHWISE, n_samples=1, capacity=c_max, growth=growth, gamma=gamma)


def mmd(alpha: float, lambda_: float) -> Mmd:
    return Mmd(PATHWISE, n_samples=1, alpha=alpha, lambda_=lambda_, bandwidth=1.0)


# Free bits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kl_weight", [0.0, 0.3, 1.0, 7.0])
def test_no_free_bits_are_the_elbo_exactly(kl_weight: float) -> None:
    for estimator in (PATHWISE, Pathwise(kl="sampled"), StickingTheLanding()):
        none = FreeBits(estimator, n_samples=1, free_nats=0.0, group_size=1)
        elbo = Elbo(estimator, n_samples=1)
        assert torch.equal(bound_of(none, kl_weight=kl_weight).loss, bound_of(elbo, kl_weight=kl_weight).loss)


def test_free_bits_are_a_floor_per_unit_or_per_group() -> None:
    low, high = sorted(MEAN_KL.tolist())
    between = (low + high) / 2
    distortion = bound_of(ELBO).distortion.mean()
    torch.testing.assert_close(bound_of(free_bits(between), kl_weight=2.0).loss, distortion + 2 * (between + high))
    together = bound_of(free_bits(low + high + 1, group_size=2)).loss
    torch.testing.assert_close(together, distortion + low + high + 1)
    torch.testing.assert_close(bound_of(free_bits(between, group_size=2)).loss, distortion + low + high)


def test_a_unit_below_its_free_bits_feels_no_kl() -> None:
    low, high = sorted(MEAN_KL.tolist())
    mean = POSTERIOR.mean.clone().requires_grad_()
    posterior = POSTERIOR._replace(mean=mean)
    flat = torch.zeros(5, 2, dtype=torch.float64)

    def decoder(codes: Tensor) -> Tensor:
        return 0 * DECODER(codes)

    loss = free_bits((low + high) / 2)(PIXELS, posterior, PRIOR, decoder, LIKELIHOOD, flat[None], 1.0, MOMENT).loss
    (gradient,) = torch.autograd.grad(loss, mean)
    unit = int(MEAN_KL.argmin())
    assert (gradient[:, unit] == 0).all()
    torch.testing.assert_close(gradient[:, 1 - unit], POSTERIOR.mean[:, 1 - unit] / 5)


@pytest.mark.parametrize("kl", ["closed_form", "sampled"])
def test_noise_neither_opens_nor_closes_the_gate_of_free_bits(kl: str) -> None:
    """A true KL below the floor has no gradient at all, and one above it the whole, sampled or not."""
    estimator = Pathwise(kl=kl)
    noise = normals(100, 1, 5, 2)
    leaf = POSTERIOR.mean.clone().requires_grad_()
    posterior = POSTERIOR._replace(mean=leaf)

    def penalty_gradient(free_nats: float, one: Tensor) -> Tensor:
        objective = FreeBits(estimator, n_samples=1, free_nats=free_nats, group_size=1)
        bound = objective(PIXELS, posterior, PRIOR, lambda codes: 0 * DECODER(codes), LIKELIHOOD, one, 1.0, MOMENT)
        return torch.autograd.grad(bound.loss, leaf)[0]

    below = torch.stack([penalty_gradient(float(MEAN_KL.max()) * 1.01, one) for one in noise])
    assert (below == 0).all()
    above = torch.stack([penalty_gradient(float(MEAN_KL.min()) * 0.99, one) for one in noise])
    spread = above.std(0) / math.sqrt(len(above))
    assert ((above.mean(0) - POSTERIOR.mean / 5).abs() <= 4 * spread + 1e-12).all()


# Capacity -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kl", ["closed_form", "sampled"])
def test_a_capacity_at_the_measured_kl_has_no_penalty(kl: str) -> None:
    grown = TrainingStep(step=50, total_steps=100, steps_per_epoch=10)
    c_max = float(MEAN_KL.sum())
    objective = Capacity(Pathwise(kl=kl), n_samples=1, capacity=c_max, growth=0.5, gamma=100.0)
    found = bound_of(objective, at=grown)
    assert torch.equal(found.loss, found.distortion.mean())


@pytest.mark.parametrize(
    ("step", "growth", "share"),
    [
        (0, 0.5, 0.0),
        (25, 0.5, 0.5),
        (49, 0.5, 0.98),
        (50, 0.5, 1.0),
        (51, 0.5, 1.0),
        (1000, 0.5, 1.0),
        (15, "3 epochs", 0.5),
    ],
)
def test_the_capacity_grows_linearly_and_stays(step: int, growth: float | str, share: float) -> None:
    at = TrainingStep(step=step, total_steps=100, steps_per_epoch=10)
    found = bound_of(capacity(4.0, growth, gamma=30.0), kl_weight=2.0, at=at)
    expected = found.distortion.mean() + 60 * (MEAN_KL.sum() - 4 * share).abs()
    torch.testing.assert_close(found.loss, expected)


# MMD ------------------------------------------------------------------------------------------------------------


def test_the_mmd_of_shifted_gaussian_codes_is_its_closed_form() -> None:
    """With q(z) = N(m, s^2 I), E_qq k = (h/(h+2s^2))^(d/2), E_qp k = (h/(h+1+s^2))^(d/2) exp(-|m|^2/(2(h+1+s^2)))."""
    d, m, s2 = 3, 0.5, 0.6
    found = torch.stack([mmd_from_prior(m + math.sqrt(s2) * noise, PRIOR, 1.0) for noise in normals(1000, 50, d)])
    h = 1.0 * d
    among = (h / (h + 2 * s2)) ** (d / 2)
    across = (h / (h + 1 + s2)) ** (d / 2) * math.exp(-d * m**2 / (2 * (h + 1 + s2)))
    expected = among - 2 * across + (h / (h + 2)) ** (d / 2)
    assert abs(float(found.mean()) - expected) < 4 * float(found.std()) / math.sqrt(len(found))
    assert expected > 10 * float(found.std()) / math.sqrt(len(found))


def test_the_mmd_is_unbiased_where_the_codes_are_the_priors() -> None:
    found = torch.stack([mmd_from_prior(codes, PRIOR, 1.0) for codes in normals(2000, 20, 3)])
    assert abs(float(found.mean())) < 4 * float(found.std()) / math.sqrt(2000)
    assert float(found.min()) < 0


def test_mmd_equals_the_double_sum() -> None:
    codes = normals(7, 2)
    kernel = [[math.exp(-float((a - b).square().sum()) / 4) for b in codes] for a in codes]
    among = sum(kernel[i][j] for i in range(7) for j in range(7) if i != j) / 42
    to_prior = sum(2 / 3 * math.exp(-float(a.square().sum()) / 6) for a in codes) / 7
    assert float(mmd_from_prior(codes, PRIOR, 1.0)) == pytest.approx(among - 2 * to_prior + 0.5)


def test_infovae_is_its_three_terms() -> None:
    found = bound_of(mmd(alpha=0.25, lambda_=10.0), kl_weight=2.0)
    distance = mmd_from_prior(POSTERIOR.sample(NOISE)[0], PRIOR, 1.0)
    torch.testing.assert_close(found.loss, found.distortion.mean() + 2 * 0.75 * MEAN_KL.sum() + 9.25 * distance)
    torch.testing.assert_close(bound_of(mmd(alpha=0.0, lambda_=1.0)).loss, bound_of(ELBO).loss)
    with pytest.raises(UserError) as refused:
        mmd(alpha=0.0, lambda_=0.5)
    assert refused.value.about == ("objective.lambda_", "objective.alpha")


# Importance weighting -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", [PATHWISE, Pathwise(kl="sampled"), StickingTheLanding()])
@pytest.mark.parametrize("kl_weight", [0.0, 0.3, 1.0, 7.0])
def test_one_importance_sample_is_the_elbo_exactly(estimator: Estimator, kl_weight: float) -> None:
    elbo, iwae = (bound_of(kind(estimator, n_samples=1), kl_weight=kl_weight) for kind in (Elbo, Iwae))
    for one, other in zip(iwae, elbo, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("kl_weight", [0.3, 1.0, 7.0])
def test_so_is_the_formula_for_several_samples_when_they_are_one_and_the_same(kl_weight: float) -> None:
    """Three equal codes have equal weights, whose mean is the weight of one; the KL comes from the sample, and what the
    weight has above 1 multiplies the closed form."""
    sampled = Pathwise(kl="sampled")
    iwae = bound_of(Iwae(sampled, n_samples=3), NOISE.expand(3, -1, -1), kl_weight)
    elbo = bound_of(Elbo(sampled, n_samples=1), kl_weight=min(kl_weight, 1.0))
    torch.testing.assert_close(iwae.loss, elbo.loss + max(kl_weight - 1, 0) * MEAN_KL.sum())


def loss_and_gradient(kl_weight: KlWeight, estimator: Estimator) -> tuple[Tensor, Tensor]:
    """Return the bound of three and its gradient by the means, where the codes are always the same."""
    mean = POSTERIOR.mean.clone().requires_grad_()
    of_three, noise = Iwae(estimator, n_samples=3), normals(3, 5, 2)
    posterior = POSTERIOR._replace(mean=mean)
    loss = of_three(PIXELS, posterior, PRIOR, DECODER, LIKELIHOOD, noise, kl_weight, MOMENT).loss
    return loss.detach(), torch.autograd.grad(loss, mean)[0]


OF_SEVERAL = [PATHWISE, ScoreFunction(baseline="none", kl="sampled"), DoublyReparameterized(), Vimco()]


@pytest.mark.parametrize("estimator", OF_SEVERAL)
def test_the_weight_inside_and_the_weight_outside_agree_at_one(estimator: Estimator) -> None:
    """Loss and gradient change by the order of the step in the weight, on either side."""
    at_one = loss_and_gradient(1.0, estimator)
    step = 1e-6
    for beside in (1 - step, 1 + step):
        for near, exact in zip(loss_and_gradient(beside, estimator), at_one, strict=True):
            assert 0 < (near - exact).abs().max() < 100 * step


@pytest.mark.parametrize("estimator", OF_SEVERAL)
@pytest.mark.parametrize("kl_weight", [0.0, 0.4, 1.0, 1.5, 6.0])
def test_a_weight_is_the_same_as_a_number_and_as_a_tensor(estimator: Estimator, kl_weight: float) -> None:
    number = loss_and_gradient(kl_weight, estimator)
    tensor = loss_and_gradient(torch.tensor(kl_weight, dtype=torch.float64), estimator)
    for one, other in zip(number, tensor, strict=True):
        if kl_weight <= 1:
            assert torch.equal(one, other)
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def gain_and_error(kl_weight: float, m: float, *, inside: bool) -> tuple[float, float]:
    """Return what q = N(m, 1) gains over the prior where a decoder ignores z, and its standard error: in the bound of
    five, and with the whole weight inside the logarithm instead."""
    gains = []
    objective = Iwae(Pathwise(kl="sampled"), n_samples=5)
    for seed in range(20):
        noise = normals(5, 20_000, 1, seed=seed)
        posterior = gaussian(torch.full_like(noise[0], m), torch.zeros_like(noise[0]))
        pixels = torch.zeros(20_000, 1, 1, 1, dtype=torch.float64)
        if inside:
            log_ratios = PRIOR.log_prob_per_unit(noise + m) - PRIOR.log_prob_per_unit(noise)
            gains.append(((kl_weight * log_ratios).logsumexp(0) - math.log(5)).mean())
        else:
            arguments = (LIKELIHOOD, noise, kl_weight, MOMENT)
            loss = objective(pixels, posterior, PRIOR, lambda codes: identity(0 * codes), *arguments).loss
            gains.append(0.5 * math.log(2 * math.pi * VARIANCE) - loss)
    of_seeds = torch.stack(gains)
    return float(of_seeds.mean()), float(of_seeds.std()) / math.sqrt(len(of_seeds))


@pytest.mark.parametrize(("kl_weight", "m"), [(5.0, 0.1), (5.0, 0.3), (5.0, 1.0), (1.5, 0.3)])
def test_no_weight_pays_for_leaving_the_prior_but_inside_the_logarithm_one_would(kl_weight: float, m: float) -> None:
    """Inside, w KL (w (1 - 1/k) - 1) to second order in m, which is a gain above w = k / (k - 1) = 1.25."""
    gain, error = gain_and_error(kl_weight, m, inside=True)
    assert gain > 10 * error
    gain, error = gain_and_error(kl_weight, m, inside=False)
    assert gain < -10 * error


@pytest.mark.parametrize("kl_weight", [1.0, 1.5, 5.0])
def test_at_the_prior_a_nat_costs_one_kth_and_what_the_weight_has_above_one(kl_weight: float) -> None:
    gain, error = gain_and_error(kl_weight, 0.1, inside=False)
    cost = (kl_weight - 1 + 1 / 5) * 0.1**2 / 2
    assert gain == pytest.approx(-cost, abs=4 * error + 0.1**4)
    assert gain < -10 * error


def test_the_bound_rises_with_the_samples_towards_log_px() -> None:
    weight = DECODER.weight.detach()
    covariance = weight @ weight.T + VARIANCE * torch.eye(4, dtype=torch.float64)
    log_px = torch.distributions.MultivariateNormal(torch.zeros(4).double(), covariance).log_prob(PIXELS.flatten(1))
    precision = torch.eye(2, dtype=torch.float64) + weight.T @ weight / VARIANCE
    means = PIXELS.flatten(1) @ weight @ torch.linalg.inv(precision) / VARIANCE
    wide = gaussian(means, torch.zeros(5, 2, dtype=torch.float64))  # the exact means with the prior's variances
    bounds = []
    for k in (1, 5, 50, 20_000):
        repeats = max(1, 1000 // k)
        objective = Iwae(PATHWISE, n_samples=k)
        losses = [
            objective(PIXELS, wide, PRIOR, DECODER, LIKELIHOOD, noise, 1.0, MOMENT).loss
            for noise in normals(repeats * k, 5, 2).split(k)
        ]
        bounds.append(-float(torch.stack(losses).mean().detach()))
    assert bounds == sorted(bounds)
    assert bounds[-1] == pytest.approx(float(log_px.mean()), abs=0.02)
    assert bounds[0] < float(log_px.mean()) - 0.5


def test_at_the_true_posterior_the_bound_is_log_px_for_every_number_of_samples() -> None:
    x = PIXELS[:, :, :, :1]
    zero, scale = torch.tensor([0.0, math.sqrt(1 + VARIANCE)], dtype=torch.float64)
    log_px = torch.distributions.Normal(zero, scale).log_prob(x.flatten()).mean()
    for k in (1, 2, 10):
        loss = Iwae(Pathwise(kl="sampled"), n_samples=k)(
            x, true_posterior(x), PRIOR, identity, LIKELIHOOD, normals(k, 5, 1), 1.0, MOMENT
        ).loss
        torch.testing.assert_close(-loss, log_px, rtol=1e-12, atol=0)


# All of them ----------------------------------------------------------------------------------------------------

OBJECTIVES = {
    "elbo": lambda estimator: Elbo(estimator, n_samples=3),
    "iwae": lambda estimator: Iwae(estimator, n_samples=3),
    "free_bits": lambda estimator: FreeBits(estimator, n_samples=3, free_nats=0.4, group_size=1),
    "capacity": lambda estimator: Capacity(estimator, n_samples=3, capacity=4.0, growth=0.5, gamma=10.0),
    "mmd": lambda estimator: Mmd(estimator, n_samples=3, alpha=0.0, lambda_=10.0, bandwidth=1.0),
}
ESTIMATORS: dict[str, Estimator] = {
    "pathwise": PATHWISE,
    "score_function": ScoreFunction(baseline="leave_one_out", kl="closed_form"),
    "sticking_the_landing": StickingTheLanding(),
    "dreg": DoublyReparameterized(),
    "vimco": Vimco(),
}
DEFINED = [
    (objective, estimator)
    for objective in OBJECTIVES
    for estimator in ESTIMATORS
    if (estimator not in {"dreg", "vimco"} or objective == "iwae")
    and (estimator, objective) != ("score_function", "mmd")
]


@pytest.mark.parametrize(("objective", "estimator"), DEFINED)
def test_many_runs_at_once_under_vmap(objective: str, estimator: str) -> None:
    """Noise and KL weight are arguments, so that runs with different weights can share one call, gradients too."""
    built = OBJECTIVES[objective](ESTIMATORS[estimator])
    assert isinstance(built, Objective)
    weights = torch.tensor([0.1, 1.0, 10.0], dtype=torch.float64)
    noise = normals(3, 3, 5, 2)

    def loss(mean: Tensor, noise: Tensor, kl_weight: Tensor) -> Tensor:
        posterior = POSTERIOR._replace(mean=mean)
        return built(PIXELS, posterior, PRIOR, DECODER, LIKELIHOOD, noise, kl_weight, MOMENT).loss

    means = torch.stack([POSTERIOR.mean, POSTERIOR.mean + 1, POSTERIOR.mean * 2])
    leaves = means.clone().requires_grad_()
    values = [loss(*run) for run in zip(leaves, noise, weights, strict=True)]
    (gradients,) = torch.autograd.grad(torch.stack(values).sum(), leaves)
    found_gradients, found = torch.func.vmap(torch.func.grad_and_value(loss))(means, noise, weights)
    torch.testing.assert_close(found, torch.stack(values).detach())
    torch.testing.assert_close(found_gradients, gradients)
    assert gradients.abs().max() > 0


@pytest.mark.parametrize(("objective", "estimator"), DEFINED)
def test_no_estimator_changes_a_value_and_no_objective_what_is_reported(objective: str, estimator: str) -> None:
    noise = normals(3, 5, 2)
    found = bound_of(OBJECTIVES[objective](ESTIMATORS[estimator]), noise)
    sampled = ESTIMATORS[estimator].kl == "sampled" or objective == "iwae"
    plain = bound_of(OBJECTIVES[objective](Pathwise(kl="sampled" if sampled else "closed_form")), noise)
    torch.testing.assert_close(found.loss, plain.loss)
    elbo = bound_of(Elbo(PATHWISE, n_samples=3), noise)
    torch.testing.assert_close(found.distortion, elbo.distortion)
    assert torch.equal(found.kl_per_unit, elbo.kl_per_unit)


# The distributions ----------------------------------------------------------------------------------------------

LIKELIHOODS = {
    "gaussian_learned": GaussianLearnedLikelihood(initial_variance=0.3, min_log_sigma=-6.0, mean="sigmoid"),
    "gaussian_optimal": GaussianOptimalLikelihood(min_log_sigma=-6.0, mean="sigmoid"),
    "gaussian_per_pixel": GaussianPerPixelLikelihood(min_log_sigma=-6.0, mean="sigmoid"),
    "bernoulli": BernoulliLikelihood(),
    "continuous_bernoulli": ContinuousBernoulliLikelihood(),
    "discretized_logistic": DiscretizedLogisticLikelihood(initial_scale=0.1),
    "negative_binomial": NegativeBinomialLikelihood(initial_dispersion=2.0),
    "student_t": StudentTLikelihood(degrees_of_freedom=4.0, initial_scale=0.3, min_log_scale=-6.0, mean="identity"),
    "categorical": CategoricalLikelihood(n_classes=3),
}


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_every_likelihood_too_under_vmap(name: str) -> None:
    """What has parameters or running statistics takes one set for each run, by functional_call."""
    likelihood = LIKELIHOODS[name]
    pixels = normals(5, 1, 2, 2).sigmoid().float()
    values = normals(3, 2, 5, likelihood.values_per_pixel, 2, 2, seed=1).float()
    expected = []
    for of_run in values:
        fresh = copy.deepcopy(likelihood)
        expected.append(fresh.log_prob(pixels, of_run))

    class LogProb(torch.nn.Module):
        """Calls log_prob, so that functional_call can stand other parameters in for the likelihood's."""

        def __init__(self) -> None:
            super().__init__()
            self.likelihood = copy.deepcopy(likelihood)

        def forward(self, of_run: Tensor) -> Tensor:
            return self.likelihood.log_prob(pixels, of_run)

    module = LogProb()
    state = {key: torch.stack([tensor.detach()] * 3) for key, tensor in module.state_dict().items()}
    found = torch.func.vmap(lambda one, of_run: torch.func.functional_call(module, one, (of_run,)))(state, values)
    torch.testing.assert_close(found, torch.stack(expected).detach())


@pytest.mark.parametrize("family", [FullCovariancePosterior(2), LocationScalePosterior(2, noise=laplace_noise())])
def test_every_posterior_too_under_vmap(family: PosteriorFamily) -> None:
    outputs, noise = normals(3, 5, family.n_parameters), normals(3, 2, 5, 2, seed=1)
    objective = Iwae(PATHWISE, n_samples=2)

    def loss(outputs: Tensor, noise: Tensor) -> Tensor:
        return objective(PIXELS, family(outputs), PRIOR, DECODER, LIKELIHOOD, noise, 0.5, MOMENT).loss

    expected = torch.stack([loss(*run) for run in zip(outputs, noise, strict=True)])
    torch.testing.assert_close(torch.func.vmap(loss)(outputs, noise), expected)
