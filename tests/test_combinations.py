"""What goes together and what does not: every combination either takes a step or is refused with its keys."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from vae_lightning.assemble import build_data, build_model
from vae_lightning.combinations import caveats, kl_computation
from vae_lightning.conf_folder import config_folder
from vae_lightning.config import checked
from vae_lightning.distributions import (
    BernoulliLikelihood,
    GaussianLikelihood,
    LocationScalePosterior,
    PointPosterior,
    StandardNormalPrior,
    gaussian_noise,
)
from vae_lightning.errors import Code, UserError
from vae_lightning.objectives import DoublyReparameterized, Elbo, Iwae, Mmd, Pathwise, StickingTheLanding
from vae_lightning.training import train
from vae_lightning.training_step import TrainingStep

Config = dict[str, Any]
DIAGONAL, PRIOR = LocationScalePosterior(2, noise=gaussian_noise()), StandardNormalPrior()


@pytest.mark.parametrize(
    ("overrides", "about"),
    [
        ("estimator=vimco", "estimator objective"),
        ("estimator=dreg objective=free_bits", "estimator objective"),
        ("estimator=vimco objective=iwae objective.n_samples=1", "objective.n_samples estimator"),
        ("estimator=score_function estimator.baseline=leave_one_out", "objective.n_samples estimator"),
        ("estimator=score_function objective=mmd", "estimator objective"),
        ("posterior=point estimator=score_function", "posterior estimator"),
        ("posterior=point estimator=sticking_the_landing", "posterior estimator"),
        ("posterior=point estimator.kl=sampled", "posterior estimator"),
        ("posterior=point objective=iwae", "posterior objective"),
        ("posterior=point objective=free_bits", "posterior objective"),
        ("posterior=point objective=capacity", "posterior objective"),
        ("posterior=point beta_schedule=geco", "beta_schedule objective posterior"),
        ("objective=mmd objective.alpha=1 beta_schedule=geco", "beta_schedule objective posterior"),
        ("posterior=point optimizer=aggressive", "optimizer posterior"),
        ("optimizer=aggressive trainer.precision=16-mixed", "trainer.precision optimizer"),
        ("beta_schedule=control_vae kl_weight=0", "kl_weight beta_schedule"),
        ("objective=mmd data.batch_size=1", "data.batch_size objective"),
        ("posterior=batch_norm data.batch_size=1", "data.batch_size posterior"),
        ("objective=free_bits objective.group_size=3", "latent_dim objective.group_size"),
    ],
)
def test_what_is_undefined_is_refused_with_its_keys(
    overrides: str, about: str, configure: Callable[..., Config]
) -> None:
    with pytest.raises(UserError) as refused:
        build_model(checked(configure(*overrides.split())), (1, 28, 28))
    assert (refused.value.code, refused.value.about) == (Code.INCOMPATIBLE, tuple(about.split()))


@pytest.mark.parametrize(
    ("overrides", "about"),
    [
        ("beta_schedule=geco beta_schedule.minimum=5000", ("beta_schedule.minimum", "beta_schedule.maximum")),
        ("objective=mmd objective.lambda_=0.5", ("objective.lambda_", "objective.alpha")),
    ],
)
def test_settings_of_one_part_that_contradict_each_other_are_refused(
    overrides: str, about: tuple[str, ...], configure: Callable[..., Config]
) -> None:
    with pytest.raises(UserError) as refused:
        build_model(checked(configure(*overrides.split())), (1, 28, 28))
    assert (refused.value.code, refused.value.about) == (Code.INVALID, about)


@pytest.mark.parametrize(
    ("overrides", "about"),
    [
        ("data=digits estimator=vimco", {"estimator", "objective"}),
        *(
            (f"data=linear_gaussian model=linear likelihood={likelihood}", {"likelihood", "data.scale"})
            for likelihood in ("bernoulli", "continuous_bernoulli", "discretized_logistic")
        ),
        *(
            (
                f"data=digits likelihood=continuous_bernoulli data.binarize={binarize}",
                {"likelihood", "data.binarize"},
            )
            for binarize in ("static", "dynamic")
        ),
    ],
)
def test_a_refused_run_writes_nothing(
    overrides: str, about: set[str], configure: Callable[..., Config], tmp_path: Any
) -> None:
    with pytest.raises(UserError) as refused:
        train(configure(*overrides.split()))
    assert refused.value.code is Code.INCOMPATIBLE
    assert set(refused.value.about) == about
    assert list(tmp_path.iterdir()) == []


def test_a_known_bias_a_sum_that_is_no_bound_and_a_key_that_does_nothing_are_said() -> None:
    pixels, bernoulli = GaussianLikelihood(variance=1.0, mean="sigmoid"), BernoulliLikelihood()
    elbo = Elbo(Pathwise(kl="closed_form"), n_samples=1)
    no_kl = Mmd(Pathwise(kl="closed_form"), n_samples=1, alpha=1.0, lambda_=10.0, bandwidth=1.0)
    biased = Iwae(StickingTheLanding(), n_samples=5)

    def n_notes(objective: Any, posterior: Any, likelihood: Any, binarize: str) -> int:
        return len(caveats(objective, objective.estimator, posterior, likelihood, binarize))

    assert n_notes(biased, DIAGONAL, pixels, "none") == 1
    assert n_notes(elbo, DIAGONAL, bernoulli, "none") == 1
    assert n_notes(elbo, PointPosterior(2), bernoulli, "static") == 1
    assert n_notes(no_kl, DIAGONAL, bernoulli, "static") == 1
    assert n_notes(biased, DIAGONAL, bernoulli, "none") == 2
    for sound in (
        Iwae(StickingTheLanding(), n_samples=1),
        Iwae(DoublyReparameterized(), n_samples=5),
        Elbo(StickingTheLanding(), n_samples=5),
    ):
        assert n_notes(sound, DIAGONAL, pixels, "none") == 0
        assert n_notes(sound, DIAGONAL, bernoulli, "dynamic") == 0


class NoClosedForm(LocationScalePosterior):
    """A family of a user's, whose KL nobody has worked out."""

    has_closed_form_kl = False


def test_four_ways_of_coming_by_a_kl_are_told_apart() -> None:
    closed = Elbo(Pathwise(kl="closed_form"), n_samples=1)
    sampled = [
        Elbo(Pathwise(kl="sampled"), n_samples=1),
        Elbo(StickingTheLanding(), n_samples=1),
        Iwae(Pathwise(kl="closed_form"), n_samples=2),
    ]
    [of_samples] = {kl_computation(objective, DIAGONAL, PRIOR) for objective in sampled}
    others = {
        kl_computation(closed, family, PRIOR)
        for family in (DIAGONAL, PointPosterior(2), NoClosedForm(2, noise=gaussian_noise()))
    }
    assert len(others | {of_samples}) == 4
    assert kl_computation(Iwae(Pathwise(kl="closed_form"), n_samples=1), DIAGONAL, PRIOR) == kl_computation(
        closed, DIAGONAL, PRIOR
    )


GROUPS = ("likelihood", "posterior", "objective", "estimator")
PLAIN = ("gaussian", "diagonal", "elbo", "pathwise")


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (config_folder() / group).glob("*.yaml"))


def choices(every: bool) -> Iterator[tuple[str, ...]]:
    """Yield every choice of the four groups, or those in which the likelihood or all the others are plain."""
    for choice in itertools.product(*map(options, GROUPS)):
        others = sum(one != plain for one, plain in zip(choice[1:], PLAIN[1:], strict=True))
        if every or choice[0] == PLAIN[0] or others <= 1:
            yield choice


def undefined(posterior: str, objective: str, estimator: str) -> bool:
    """Say by the table of options which combinations have no gradient."""
    if posterior == "point" and (estimator != "pathwise" or objective not in {"elbo", "mmd"}):
        return True
    return (estimator in {"dreg", "vimco"} and objective != "iwae") or (objective, estimator) == (
        "mmd",
        "score_function",
    )


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["pairs", "all"])
def test_every_combination_takes_a_step_or_is_refused(every: bool, configure: Callable[..., Config]) -> None:
    """11 likelihoods x 7 posteriors x 5 objectives x 5 estimators, with two codes per image."""
    nodes = {group: {option: configure(f"{group}={option}")[group] for option in options(group)} for group in GROUPS}
    config = configure("data=digits", "model=linear", "latent_dim=2")
    batch = next(build_data(checked(config)).train_dataloader().batches())
    for choice in choices(every):
        config |= {group: dict(nodes[group][option]) for group, option in zip(GROUPS, choice, strict=True)}
        config["objective"]["n_samples"] = 2
        if undefined(*choice[1:]):
            with pytest.raises(UserError) as refused:
                build_model(checked(config), (1, 28, 28))
            assert refused.value.code is Code.INCOMPATIBLE
            continue
        model = build_model(checked(config), (1, 28, 28))
        noise = model.posterior.noise((2, len(batch.pixels), 2), torch.Generator().manual_seed(0))
        loss = model.bound(batch.pixels, noise, 1.0, TrainingStep(0, 100, 10)).loss
        loss.backward()
        assert loss.isfinite(), choice
        gradients = [parameter.grad for parameter in model.parameters()]
        assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients), choice
        assert all(gradient.abs().max() > 0 for gradient in gradients if gradient.ndim == 2), choice
