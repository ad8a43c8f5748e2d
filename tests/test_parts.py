"""One contract over every part that a config may choose: its facts, its shapes, its gradients, and what is saved."""

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import torch
import yaml
from beartype.door import is_bearable
from hydra.utils import instantiate
from torch import Tensor, nn
from torch.autograd import grad

from vae_lightning.combinations import check_complete, members_of, why_no_price
from vae_lightning.composing import config_folder
from vae_lightning.distributions import (
    BernoulliLikelihood,
    GaussianLikelihood,
    Likelihood,
    LocationScalePosterior,
    PosteriorFamily,
    Prior,
    StandardNormalPrior,
    gaussian_noise,
)
from vae_lightning.distributions.likelihood import LikelihoodFacts
from vae_lightning.errors import Code, UserError
from vae_lightning.objectives import Capacity, Elbo, Estimator, Iwae, Mmd, Objective, Pathwise, Unpriced
from vae_lightning.training_step import TrainingStep

AT = TrainingStep(step=30, total_steps=100, steps_per_epoch=10)
LATENT_DIM, N_IMAGES, N_SAMPLES = 3, 6, 2
DIAGONAL, PRIOR = LocationScalePosterior(LATENT_DIM, noise=gaussian_noise()), StandardNormalPrior()
LIKELIHOOD = GaussianLikelihood(variance=0.5, mean="sigmoid")
PATHWISE = Pathwise(kl="closed_form")
ROLES: dict[str, type] = {
    "likelihood": Likelihood,
    "prior": Prior,
    "posterior": PosteriorFamily,
    "objective": Objective,
    "estimator": Estimator,
}


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (config_folder() / group).glob("*.yaml"))


@cache
def node(group: str, option: str) -> dict[str, Any]:
    content = yaml.safe_load(Path(config_folder() / group / f"{option}.yaml").read_text())
    return {key: value for key, value in content.items() if key != "name"}


def part(group: str, option: str, **changed: Any) -> Any:
    supplied = {"posterior": [LATENT_DIM], "objective": [PATHWISE]}.get(group, [])
    return instantiate({**node(group, option), **changed}, *supplied)


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def decoder(codes: Tensor, values_per_pixel: int = 1) -> Tensor:
    weight = rand(LATENT_DIM, values_per_pixel * 4, seed=1)
    return (codes.double() @ weight).reshape(len(codes), values_per_pixel, 2, 2)


PIXELS = rand(N_IMAGES, 1, 2, 2, seed=2).sigmoid()


# Facts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("group", "option"), [(group, option) for group in ROLES for option in options(group)])
def test_every_fact_is_answered_in_its_type_and_a_copy_answers_alike(group: str, option: str) -> None:
    role, built = ROLES[group], part(group, option)
    check_complete(group, option, built, role)
    facts = {name: member for name in members_of(role) if isinstance(member := vars(role)[name], property)}
    for name, member in facts.items():
        assert is_bearable(getattr(built, name), get_type_hints(member.fget)["return"]), name
        if name != "estimator":
            assert getattr(copy.deepcopy(built), name) == getattr(built, name)
    if isinstance(built, nn.Module):
        other = copy.deepcopy(built)
        for tensor in other.state_dict().values():
            tensor.add_(1)
        other.load_state_dict(built.state_dict(), strict=True)
        assert all(torch.equal(tensor, built.state_dict()[key]) for key, tensor in other.state_dict().items())


class Incomplete:
    """A likelihood that somebody has begun."""

    variance = None
    is_binary = False

    def log_prob(self) -> None: ...


def test_an_error_names_the_members_that_are_missing() -> None:
    with pytest.raises(UserError) as refused:
        check_complete("likelihood", "mine.Incomplete", Incomplete(), Likelihood)
    assert refused.value.code is Code.INCOMPLETE_PART
    assert refused.value.about[0] == "likelihood._target_"
    assert {"mean", "sample", "score_and_curvature", "least_variance"} <= set(refused.value.about)
    assert not {"log_prob", "variance", "is_binary"} & set(refused.value.about)


# Likelihoods ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", options("likelihood"))
def test_a_likelihood_has_its_shapes_and_its_gradients_reach_everything(option: str) -> None:
    likelihood = part("likelihood", option)
    values = rand(N_SAMPLES, N_IMAGES, likelihood.values_per_pixel, 2, 2).requires_grad_()
    log_prob = likelihood.log_prob(PIXELS, values)
    assert log_prob.shape == (N_SAMPLES, N_IMAGES)
    drawn = likelihood.sample(values[0].detach(), torch.Generator().manual_seed(0))
    assert drawn.shape == likelihood.mean(values[0]).shape == PIXELS.shape
    inputs = [values, *(likelihood.parameters() if isinstance(likelihood, nn.Module) else ())]
    assert all(gradient.isfinite().all() and gradient.abs().max() > 0 for gradient in grad(log_prob.sum(), inputs))


@pytest.mark.parametrize("option", options("likelihood"))
def test_a_score_and_a_curvature_are_the_derivatives_of_the_log_density(option: str) -> None:
    """By automatic differentiation; in a Gaussian's natural parameter, which is its value over sigma^2."""
    likelihood = part("likelihood", option, **({"mean": "identity"} if "mean" in node("likelihood", option) else {}))
    if isinstance(likelihood, nn.Module):
        likelihood.eval()
    v = likelihood.values_per_pixel
    natural = rand(N_IMAGES, v, 2, 2, seed=3).requires_grad_()
    per_natural = (
        float(torch.as_tensor(likelihood.sigma_squared).detach()) if hasattr(likelihood, "sigma_squared") else 1.0
    )
    score, curvature = likelihood.score_and_curvature(PIXELS, natural * per_natural)
    log_prob = likelihood.log_prob(PIXELS, natural * per_natural).sum()
    (first,) = grad(log_prob, natural, create_graph=True)
    torch.testing.assert_close(score, first)
    rows = curvature if v > 1 else curvature.unsqueeze(0)
    for index, group in enumerate(first.chunk(v, dim=1)):
        (second,) = grad(group.sum(), natural, retain_graph=True)
        torch.testing.assert_close(rows[index], -second)


class Sharper(BernoulliLikelihood):
    """Another density than its parent's, whose score it does not give."""

    def log_prob(self, pixels: Tensor, values: Tensor) -> Tensor:
        return super().log_prob(pixels, 2 * values)


class Coupled(LikelihoodFacts):
    """Pixels whose sum alone is seen."""

    variance = None

    def log_prob(self, pixels: Tensor, values: Tensor) -> Tensor:
        return -(pixels - values).sum((-3, -2, -1)).square()


def test_a_changed_density_inherits_no_closed_form() -> None:
    values = rand(N_IMAGES, 1, 2, 2, seed=3)
    score, curvature = Sharper().score_and_curvature(PIXELS, values)
    of_parent = BernoulliLikelihood().score_and_curvature(PIXELS, 2 * values)
    torch.testing.assert_close(score, 2 * of_parent[0])
    torch.testing.assert_close(curvature, 4 * of_parent[1])
    assert not Sharper().score_is_natural
    assert Sharper().greatest_log_prob(PIXELS) is None


def test_pixels_that_depend_on_each_others_values_have_no_score() -> None:
    with pytest.raises(UserError) as refused:
        Coupled().score_and_curvature(PIXELS, rand(N_IMAGES, 1, 2, 2, seed=3))
    assert (refused.value.code, refused.value.about) == (Code.INCOMPATIBLE, ("likelihood",))


@torch.inference_mode()
def test_a_score_can_be_had_where_nothing_is_recorded() -> None:
    values = rand(N_IMAGES, 1, 2, 2, seed=3)
    torch.testing.assert_close(
        Sharper().score_and_curvature(PIXELS * 1, values * 1), Sharper().score_and_curvature(PIXELS, values)
    )


@pytest.mark.parametrize("option", options("likelihood"))
def test_no_value_is_likelier_than_the_greatest(option: str) -> None:
    likelihood = part("likelihood", option)
    if isinstance(likelihood, nn.Module):
        likelihood.eval()
    counts = likelihood.needs_counts
    pixels = torch.bernoulli(PIXELS, generator=torch.Generator().manual_seed(1)) if counts else PIXELS
    greatest = likelihood.greatest_log_prob(pixels)
    if greatest is None:
        assert option in {
            "gaussian_learned",
            "gaussian_optimal",
            "gaussian_per_pixel",
            "continuous_bernoulli",
            "student_t",
        }
        return
    assert greatest.shape == (N_IMAGES,)
    values = torch.randn(200, N_IMAGES, likelihood.values_per_pixel, 2, 2, generator=torch.Generator().manual_seed(2))
    assert (likelihood.log_prob(pixels, 3 * values) <= greatest + 1e-5).all()


# Posteriors and the prior ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", options("posterior"))
def test_a_posterior_samples_with_its_log_density_and_knows_its_kl(option: str) -> None:
    family: PosteriorFamily = part("posterior", option)
    outputs = rand(N_IMAGES, family.n_parameters).requires_grad_()
    posterior = family(outputs)
    noise = family.noise((N_SAMPLES, N_IMAGES, LATENT_DIM), torch.Generator().manual_seed(0)).double()
    codes = posterior.sample(noise)
    assert codes.shape == noise.shape
    assert posterior.mean.shape == (N_IMAGES, LATENT_DIM)
    assert grad(codes.sum(), outputs, retain_graph=True)[0].abs().max() > 0
    assert not posterior.detached().sample(noise).requires_grad
    assert torch.equal(posterior.detached().sample(noise), codes.detach())
    for has_kl in (family.has_closed_form_kl, PRIOR.has_closed_form_kl(family)):
        assert has_kl == (family.has_density and PRIOR.kl_per_unit(posterior) is not None)
    if not family.has_density:
        for unanswerable in (lambda: posterior.log_prob_per_unit(codes), lambda: posterior.sample_with_log_prob(noise)):
            with pytest.raises(UserError) as refused:
                unanswerable()
            assert (refused.value.code, refused.value.about) == (Code.INCOMPATIBLE, ("posterior",))
        return
    again, log_q = posterior.sample_with_log_prob(noise)
    assert torch.equal(again, codes)
    torch.testing.assert_close(log_q, posterior.log_prob_per_unit(codes))
    # Of a constant variance, log q at its own codes does not depend on the outputs.
    by_noise, by_codes = (
        grad(terms.sum() + 0 * outputs.sum(), outputs)[0] for terms in (log_q, posterior.log_prob_per_unit(codes))
    )
    torch.testing.assert_close(by_noise, by_codes, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("option", options("prior"))
def test_a_prior_has_its_shapes_and_a_sample_of_a_generator_alone(option: str) -> None:
    prior: Prior = part("prior", option)
    codes = rand(4, LATENT_DIM)
    assert prior.log_prob_per_unit(codes).shape == codes.shape
    one, other = (prior.sample((5, LATENT_DIM), torch.Generator().manual_seed(3)) for _ in range(2))
    assert one.shape == (5, LATENT_DIM)
    assert torch.equal(one, other)
    kl = prior.kl_per_unit(DIAGONAL(rand(2, 6)))
    assert (kl is not None) == prior.has_closed_form_kl(DIAGONAL)


def test_the_standard_normal_is_torchs_and_draws_what_was_always_drawn() -> None:
    codes = rand(4, LATENT_DIM)
    torch.testing.assert_close(PRIOR.log_prob_per_unit(codes), torch.distributions.Normal(0.0, 1.0).log_prob(codes))
    drawn = torch.randn(5, 2, generator=torch.Generator().manual_seed(3))
    assert torch.equal(PRIOR.sample((5, 2), torch.Generator().manual_seed(3)), drawn)
    posterior = DIAGONAL(rand(2, 6))
    assert torch.equal(PRIOR.kl_per_unit(posterior), posterior.kl_per_unit())


# Objectives and estimators --------------------------------------------------------------------------------------


def loss_of(objective: Objective, kl_weight_in_force: float, outputs: Tensor | None = None) -> Tensor:
    posterior = DIAGONAL(rand(N_IMAGES, 6, seed=5) if outputs is None else outputs)
    noise = rand(objective.n_samples, N_IMAGES, LATENT_DIM, seed=6)
    bound = objective(PIXELS, posterior, PRIOR, decoder, LIKELIHOOD, noise, kl_weight_in_force, AT)
    assert bound.distortion.shape == (N_IMAGES,)
    assert torch.equal(bound.kl_per_unit, posterior.kl_per_unit())
    return bound.loss


@pytest.mark.parametrize("estimator", options("estimator"))
@pytest.mark.parametrize("option", options("objective"))
def test_an_objective_and_an_estimator_give_a_gradient_or_say_why_not(option: str, estimator: str) -> None:
    chosen: Estimator = part("estimator", estimator)
    objective: Objective = instantiate({**node("objective", option), "n_samples": 2}, chosen)
    defined_for_bounds_of_several_only = estimator in {"dreg", "vimco"}
    undefined = defined_for_bounds_of_several_only and option != "iwae"
    undefined |= (option, estimator) == ("mmd", "score_function")
    assert (chosen.why_undefined(objective) is not None) == undefined
    assert (chosen.caveat(objective) is not None) == ((option, estimator) == ("iwae", "sticking_the_landing"))
    if not undefined:
        outputs = rand(N_IMAGES, 6, seed=5).requires_grad_()
        (gradient,) = grad(loss_of(objective, 1.0, outputs), outputs)
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0


@pytest.mark.parametrize("option", options("objective"))
def test_a_price_is_what_the_loss_charges_for_a_nat(option: str) -> None:
    objective: Objective = part("objective", option, n_samples=1)
    assert isinstance(objective.kl_coefficient(0.0), Unpriced)
    prices = [objective.kl_coefficient(weight) for weight in (0.5, 2.0)]
    if option in {"capacity", "free_bits"}:
        assert all(isinstance(price, Unpriced) for price in prices)
        return
    kl = float(DIAGONAL(rand(N_IMAGES, 6, seed=5)).kl_per_unit().sum(1).mean())
    charged = float(loss_of(objective, 2.0) - loss_of(objective, 0.5))
    assert charged == pytest.approx((prices[1] - prices[0]) * kl)
    assert prices[1] == pytest.approx(4 * prices[0])


def test_where_a_nat_has_a_price_and_where_not() -> None:
    mmd = Mmd(PATHWISE, n_samples=1, alpha=0.25, lambda_=10.0, bandwidth=1.0)
    assert mmd.kl_coefficient(2.0) == 1.5
    assert part("objective", "free_bits", free_nats=0.0).kl_coefficient(2.0) == 2.0
    no_kl = Mmd(PATHWISE, n_samples=1, alpha=1.0, lambda_=10.0, bandwidth=1.0)
    assert isinstance(no_kl.kl_coefficient(2.0), Unpriced)
    assert not no_kl.weighs_kl
    capacity: Capacity = part("objective", "capacity")
    assert {name: schedule(AT) for name, schedule in capacity.schedules().items()} == {"growth": 0.6}
    assert Elbo(PATHWISE, n_samples=1).schedules() == {}


@pytest.mark.parametrize("kl_weight", [0.5, 1.0, 2.0])
def test_the_bound_of_one_is_the_elbo_in_all_it_says_and_that_of_several_has_no_price(kl_weight: float) -> None:
    of_one, of_two = (Iwae(PATHWISE, n_samples=k) for k in (1, 2))
    assert of_one.is_weighted_elbo
    assert of_one.kl_coefficient(kl_weight) == kl_weight
    assert not of_two.is_weighted_elbo
    assert isinstance(of_two.kl_coefficient(kl_weight), Unpriced)


class OwnCapacity(Elbo):
    """A capacity penalty as a user may write it, without a word of what a nat costs."""

    def penalty(self, kl: Any, kl_weight_in_force: Any, draw: Any, at: TrainingStep) -> Tensor:
        return kl_weight_in_force * (kl.in_loss.mean(0).sum() - 5.0).abs()


class OwnLoss(Iwae):
    """A loss that is not its parent's."""

    def __call__(self, *arguments: Any) -> Any:
        return super().__call__(*arguments)


class Doubled(OwnCapacity):
    """A loss that says what a nat costs."""

    def penalty(self, kl: Any, kl_weight_in_force: Any, draw: Any, at: TrainingStep) -> Tensor:
        return 2 * kl_weight_in_force * kl.in_loss.mean(0).sum()

    def kl_coefficient(self, kl_weight_in_force: float) -> float | Unpriced:
        return 2 * kl_weight_in_force


class Mixin:
    """A penalty that a class may inherit from elsewhere."""

    penalty = OwnCapacity.penalty


class Mixed(Mixin, Elbo):
    """A penalty and a price of two parents."""


class Renamed(Elbo):
    """The same loss as its parent's."""


@pytest.mark.parametrize("kind", [OwnCapacity, OwnLoss, Mixed])
def test_a_users_loss_that_says_no_price_has_none_and_says_why(kind: Callable[..., Any]) -> None:
    objective = kind(PATHWISE, n_samples=1)
    price = objective.kl_coefficient(1.0)
    assert isinstance(price, Unpriced)
    assert kind.__name__ in price.reason
    assert why_no_price(objective, DIAGONAL, 1.0) == price.reason
    assert not objective.is_weighted_elbo
    loss_of(objective, 1.0)


def test_a_users_loss_may_say_its_price_or_keep_its_parents() -> None:
    assert Doubled(PATHWISE, n_samples=1).kl_coefficient(1.5) == 3.0
    assert Renamed(PATHWISE, n_samples=1).kl_coefficient(1.5) == 1.5
