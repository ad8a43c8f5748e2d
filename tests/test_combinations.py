"""What goes together and what does not: every combination either takes a step or is refused with a reason."""

import itertools
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

from vae_lightning.assemble import build_data, build_model
from vae_lightning.combinations import caveats, kl_computation
from vae_lightning.conf_folder import config_folder
from vae_lightning.distributions import (
    BernoulliLikelihood,
    FullCovariancePosterior,
    GaussianLikelihood,
    LocationScalePosterior,
    Point,
    PointPosterior,
    Posterior,
    gaussian_noise,
)
from vae_lightning.errors import UserError
from vae_lightning.objectives import DoublyReparameterized, Elbo, Iwae, Mmd, Pathwise, StickingTheLanding
from vae_lightning.training import train
from vae_lightning.training_step import TrainingStep

Config = dict[str, Any]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("estimator=vimco", r"estimator=vimco: is defined for objective=iwae; .*take estimator=score_function"),
        ("estimator=dreg objective=free_bits", r"estimator=dreg: is defined for objective=iwae"),
        ("estimator=vimco objective=iwae objective.n_samples=1", r"objective.n_samples of at least 2, not 1"),
        (
            "estimator=score_function estimator.baseline=leave_one_out",
            r"of at least 2, not 1; .*estimator.baseline=none",
        ),
        ("estimator=score_function objective=mmd", r"objective=mmd needs gradients that run through the codes"),
        ("posterior=point estimator=score_function", r"posterior=point: .*density q\(z\|x\), and a point has none"),
        ("posterior=point estimator=sticking_the_landing", r"posterior=point: .*density"),
        ("posterior=point estimator.kl=sampled", r"posterior=point: .*density"),
        ("posterior=point objective=iwae", r"posterior=point: it has no KL that this objective could use"),
        ("posterior=point objective=free_bits", r"posterior=point: it has no KL that this objective could use"),
        ("posterior=point objective=capacity", r"posterior=point: it has no KL that this objective could use"),
        ("posterior=point beta_schedule=geco", r"with posterior=point or objective.alpha=1 there is no KL"),
        ("posterior=point optimizer=aggressive", r"mutual information, and posterior=point has none"),
        ("optimizer=aggressive trainer.precision=16-mixed", r"16-mixed: .*take 32-true or bf16-mixed"),
        ("beta_schedule=control_vae kl_weight=0", r"kl_weight=0: a controlled beta_schedule multiplies it"),
        (
            "objective=mmd data.batch_size=1",
            r"data.batch_size=1: objective=mmd and posterior=batch_norm need at least 2",
        ),
        ("posterior=batch_norm data.batch_size=1", r"data.batch_size=1: objective=mmd and posterior=batch_norm"),
        ("beta_schedule=geco beta_schedule.minimum=5000", r"beta_schedule.minimum=5000: must be less than"),
        ("objective=free_bits objective.group_size=3", r"objective.group_size=3: must divide latent_dim=20"),
        ("objective=mmd objective.lambda_=0.5", r"objective.lambda_=0.5: .*must be at least 1"),
        ("likelihood=gaussian_learned likelihood.initial_variance=1e-9", r"likelihood: .*min_log_sigma"),
    ],
)
def test_what_is_undefined_is_refused_before_anything_is_written(
    overrides: str, message: str, configure: Callable[..., Config], tmp_path: object
) -> None:
    config = configure("data=digits", *overrides.split())
    with pytest.raises(UserError, match=message):
        train(config)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli", "discretized_logistic"])
def test_a_likelihood_of_pixels_is_not_one_of_gaussian_vectors(
    likelihood: str, configure: Callable[..., Config]
) -> None:
    config = configure("data=linear_gaussian", "model=linear", f"likelihood={likelihood}")
    with pytest.raises(UserError, match=r"pixels in \[0, 1\], and these data are not; take likelihood=gaussian"):
        train(config)


@pytest.mark.parametrize("binarize", ["static", "dynamic"])
def test_a_density_on_grey_pixels_is_refused_where_all_are_black_or_white(
    binarize: str, configure: Callable[..., Config]
) -> None:
    config = configure("data=digits", "likelihood=continuous_bernoulli", f"data.binarize={binarize}")
    with pytest.raises(UserError, match=rf"data.binarize={binarize}\); take likelihood=bernoulli"):
        train(config)


def test_a_known_bias_is_said_at_the_start(tiny: Callable[..., Config], capsys: pytest.CaptureFixture[str]) -> None:
    train(tiny("objective=iwae", "estimator=sticking_the_landing", "trainer.max_epochs=1"))
    assert "biased for iwae with 5 samples" in re.sub(r"[\s│]+", " ", capsys.readouterr().out)
    diagonal, pixels = (
        LocationScalePosterior(2, noise=gaussian_noise()),
        GaussianLikelihood(variance=1.0, mean="sigmoid"),
    )
    for objective in (
        Iwae(StickingTheLanding(), n_samples=1),
        Iwae(DoublyReparameterized(), n_samples=5),
        Elbo(StickingTheLanding(), n_samples=5),
    ):
        assert caveats(objective, objective.estimator, diagonal, pixels, "none") == []


def test_sums_that_are_no_bounds_and_keys_that_do_nothing_are_said() -> None:
    elbo = Elbo(Pathwise(kl="closed_form"), n_samples=1)
    mmd = Mmd(Pathwise(kl="closed_form"), n_samples=1, alpha=1.0, lambda_=10.0, bandwidth=1.0)
    diagonal, bernoulli = LocationScalePosterior(2, noise=gaussian_noise()), BernoulliLikelihood()
    [grey] = caveats(elbo, elbo.estimator, diagonal, bernoulli, "none")
    assert "cross-entropy" in grey
    assert caveats(elbo, elbo.estimator, diagonal, bernoulli, "dynamic") == []
    for objective, posterior in ((elbo, PointPosterior(2)), (mmd, diagonal)):
        [idle] = caveats(objective, objective.estimator, posterior, bernoulli, "static")
        assert "kl_weight and beta_schedule change nothing" in idle


@pytest.mark.parametrize("posterior", [LocationScalePosterior(2, noise=gaussian_noise()), FullCovariancePosterior(2)])
def test_it_says_how_the_kl_comes_about(posterior: Any) -> None:
    known: Posterior = posterior(torch.zeros(1, posterior.n_parameters))
    closed = Elbo(Pathwise(kl="closed_form"), n_samples=1)
    sampled = "Monte Carlo from the same samples in the loss, closed form in what is reported"
    assert kl_computation(closed, known) == "closed form"
    assert kl_computation(Elbo(Pathwise(kl="sampled"), n_samples=1), known) == sampled
    assert kl_computation(Elbo(StickingTheLanding(), n_samples=1), known) == sampled
    assert kl_computation(Iwae(Pathwise(kl="closed_form"), n_samples=2), known) == sampled
    assert kl_computation(closed, Point(torch.zeros(1, 2))).startswith("none: a point has no bound")


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (config_folder() / group).glob("*.yaml"))


def test_every_combination_takes_a_step_or_is_refused(configure: Callable[..., Config]) -> None:
    """7 likelihoods x 7 posteriors x 5 objectives x 5 estimators, with two codes per image."""
    groups = ("likelihood", "posterior", "objective", "estimator")
    nodes = {group: {option: configure(f"{group}={option}")[group] for option in options(group)} for group in groups}
    config = configure("data=digits", "model=linear", "latent_dim=2")
    batch = next(iter(build_data(config).train_dataloader()))
    refused = 0
    for choice in itertools.product(*(nodes[group] for group in groups)):
        config |= {group: dict(nodes[group][option]) for group, option in zip(groups, choice, strict=True)}
        config["objective"]["n_samples"] = 2
        try:
            model = build_model(config, (1, 28, 28))
        except UserError as reason:
            refused += bool(re.search(r"(estimator|posterior|objective)=", str(reason)))
            continue
        noise = model.posterior.noise((2, len(batch.pixels), 2), torch.Generator().manual_seed(0))
        loss = model.bound(batch.pixels, noise, 1.0, TrainingStep(0, 100, 10)).loss
        loss.backward()
        assert loss.isfinite(), choice
        gradients = [parameter.grad for parameter in model.parameters()]
        assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients), choice
        assert all(gradient.abs().max() > 0 for gradient in gradients if gradient.ndim == 2), choice
    assert refused == 7 * (6 * (4 + 4 + 1) + 23)
