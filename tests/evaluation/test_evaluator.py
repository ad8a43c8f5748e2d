"""An evaluation of models whose answers are known: the linear optimum, and models broken in one way each."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from linear_models import OVERRIDES, SPECTRUM, VARIANCE, evaluation_of, gathered, optimum
from torch import nn

from vae_lightning.assemble import build_data, build_model
from vae_lightning.config import checked
from vae_lightning.evaluation import Effort
from vae_lightning.theory import collapsed_share, pixel_moments
from vae_lightning.training_step import TrainingStep

Configure = Callable[..., dict[str, Any]]


def assert_close(found: object, expected: object, **tolerance: float) -> None:
    as_double = (torch.as_tensor(value, dtype=torch.float64) for value in (found, expected))
    torch.testing.assert_close(*as_double, **({"rtol": 0, "atol": 1e-4} | tolerance))


SLOW = pytest.mark.slow


# Below a weight of about 1/2 the posterior is so narrow that importance weights have no variance.
@pytest.mark.slow
@pytest.mark.parametrize("kl_weight", [0.7, 1.0, 3.0])
def test_every_diagnostic_of_the_linear_optimum_is_its_closed_form(configure: Configure, kl_weight: float) -> None:
    model, data, solution = optimum(configure, 4, kl_weight)
    effort = Effort(importance_samples=5000, residual_samples=4, thorough=True)
    evaluation = evaluation_of(model, data, kl_weight, effort)
    found, evaluated = evaluation.results, evaluation.evaluated
    assert found["caveats"] == []
    assert_close(found["test/kl_per_unit"], solution.kl_per_unit)
    assert_close(found["test/variance_of_mean_per_unit"], solution.variance_of_mean)
    assert found["test/active_units"] == found["test/living_units"] == solution.active_units
    assert found["test/active_directions"] == solution.active_units
    objective = found["test/distortion"] + kl_weight * found["test/kl"]
    # One code per image: 4000 images leave this much noise in the distortion.
    assert objective == pytest.approx(solution.objective, abs=0.1)

    # (epsilon, delta)-collapse: the share of images below each unit's epsilon is 1 - delta.
    alive = solution.living
    epsilon = torch.tensor(found["test/collapse_epsilon_per_unit"], dtype=torch.float64)
    shares = collapsed_share(epsilon, solution.posterior_variance).diagonal()[alive]
    assert_close(shares, torch.full_like(shares, 0.99), atol=4 * (0.01 * 0.99 / 4000) ** 0.5)

    gains = solution.decoder_gain_squared
    sensitivity = torch.tensor(found["test/decoder_sensitivity_per_unit"], dtype=torch.float64)
    assert (sensitivity - 2 * gains).abs().max() <= 4 * (8 / 1000) ** 0.5 * gains.max()  # 1000 pairs of codes
    lower, upper = found["test/mutual_information"]
    information = float(solution.kl_per_unit.sum())  # the aggregate posterior is the prior
    assert lower - 0.05 <= information <= upper + 0.05
    assert found["test/marginal_kl"][0] == pytest.approx(0, abs=0.08)

    # log p(x) of this model, exactly: N(0, W W' + sigma^2).
    weight = model.decoder.layers[0].weight.detach().double()
    covariance = weight @ weight.T + VARIANCE * torch.eye(5, dtype=torch.float64)
    x = data.splits["test"].pixels.flatten(1).double()
    exact = torch.distributions.MultivariateNormal(torch.zeros(5, dtype=torch.float64), covariance).log_prob(x).mean()
    assert found["test/log_px"] == pytest.approx(float(exact), abs=1e-2)
    assert found["test/log_px_samples"] == 5000
    assert list(found["test/log_px_by_samples"]) == ["1", "50", "5000"]

    assert evaluated is not None
    assert evaluated.residual is not None
    expected = solution.residual_spectrum.sort(descending=True).values / VARIANCE
    assert_close(evaluated.residual.eigenvalues, expected, atol=0.05 * float(expected[0]))
    assert abs(evaluated.residual.largest - float(expected[0])) < 4 * evaluated.residual.error
    ratio = float(gains.sum()) / sum(SPECTRUM)
    assert found["test/output_variance_ratio"] == pytest.approx(ratio, abs=4 * ratio * (2 / 1000) ** 0.5 + 1e-9)
    assert found["test/continuity"] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("kl_weight", [0.3, 0.8, 1.5, 3.0, 6.0])
def test_the_linear_optimum_is_pruned_rightly_at_every_weight(configure: Configure, kl_weight: float) -> None:
    model, data, solution = optimum(configure, 5, kl_weight)
    evaluated = gathered(model, data, kl_weight)
    assert evaluated.verdict.word == "pruned"
    assert evaluated.verdict.margin <= 1
    assert sum(evaluated.living) == solution.active_units


def test_a_model_with_every_unit_alive_and_no_need_of_more_is_healthy(configure: Configure) -> None:
    model, data, _ = optimum(configure, 3, 1.0)
    assert gathered(model, data, 1.0).verdict.word == "healthy"


def test_a_dead_model_under_a_huge_weight_is_pruned_and_told_which_weight_would_help(configure: Configure) -> None:
    model, data, _ = optimum(configure, 2, 100.0)
    evaluated = gathered(model, data, 100.0)
    assert evaluated.verdict.word == "pruned"
    assert evaluated.residual.largest == pytest.approx(8, rel=0.02)
    assert f"{evaluated.residual.largest:.3g}" in evaluated.verdict.sentence


def test_too_few_units_starve(configure: Configure) -> None:
    model, data, _ = optimum(configure, 1, 1.0)
    verdict = gathered(model, data, 1.0).verdict
    assert verdict.word == "starved"
    assert verdict.margin == pytest.approx(2.0 / VARIANCE, rel=0.1)  # the second direction is left whole


def test_a_living_unit_cut_off_from_its_encoder_is_a_collapse(configure: Configure) -> None:
    model, data, _ = optimum(configure, 3, 1.0)
    with torch.no_grad():
        model.encoder.layers[1].weight[1] = 0  # the second unit's mean
        model.encoder.layers[1].bias[3 + 1] = 0  # its log variance: the prior's
    evaluated = gathered(model, data, 1.0)
    assert evaluated.living == (True, False, True)
    assert evaluated.verdict.word == "collapsed"
    assert evaluated.verdict.margin == pytest.approx(2.0 / VARIANCE, rel=0.1)


@pytest.mark.slow
def test_a_trained_model_cut_off_from_one_living_unit_is_called_collapsed(configure: Configure) -> None:
    config = configure(*OVERRIDES, "latent_dim=3", "kl_weight=1.0")
    data = build_data(checked(config))
    data.splits["test"] = data.splits["train"]
    model = build_model(checked(config), data.image_shape)
    pixels, generator = data.splits["train"].pixels, torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for step in range(1500):
        noise = torch.randn(1, len(pixels), 3, generator=generator)
        optimizer.zero_grad()
        model.bound(pixels, noise, 1.0, TrainingStep(step, 1500, 1500)).loss.backward()
        optimizer.step()
    before = gathered(model, data, 1.0)
    assert before.verdict.word == "healthy"
    unit = int(before.kl_per_unit.mean(0).argmax())
    with torch.no_grad():
        for output in (unit, 3 + unit):  # the mean, and the log variance: now the prior's
            model.encoder.layers[1].weight[output] = 0
            model.encoder.layers[1].bias[output] = 0
    after = gathered(model, data, 1.0)
    assert after.living.count(False) == 1
    assert after.verdict.word == "collapsed"


def test_an_encoder_that_answers_the_prior_knows_nothing(configure: Configure) -> None:
    model, data, _ = optimum(configure, 3, 1.0)
    with torch.no_grad():
        model.encoder.layers[1].weight.zero_()
        model.encoder.layers[1].bias.zero_()
    found = evaluation_of(model, data, 1.0).results
    assert found["test/kl"] == 0
    assert found["test/active_units"] == 0
    assert found["test/collapse_epsilon_per_unit"] == [0, 0, 0]
    assert found["test/mutual_information"] == pytest.approx([0, 0], abs=1e-5)
    assert found["verdict"] == "collapsed"


def test_a_decoder_that_ignores_the_code_is_found_out(configure: Configure) -> None:
    model, data, _ = optimum(configure, 3, 1.0)
    with torch.no_grad():
        model.decoder.layers[0].weight.zero_()
    found = evaluation_of(model, data, 1.0).results
    assert found["test/active_units"] == 3  # the encoder still writes
    assert found["test/living_units"] == 0
    assert found["test/decoder_sensitivity_per_unit"] == [0, 0, 0]
    assert found["test/output_variance_ratio"] == 0
    assert found["test/continuity"] is None
    assert found["verdict"] == "collapsed"


def test_the_active_units_of_batch_normalisation_lie_and_the_verdict_does_not(configure: Configure) -> None:
    model, data, _ = optimum(configure, 3, 1.0, "posterior=batch_norm")
    model.posterior.train()
    for _ in range(200):  # running statistics, as training would leave them
        model.encode(data.splits["train"].pixels)
    model.posterior.eval()
    with torch.no_grad():
        model.decoder.layers[0].weight.zero_()
    found = evaluation_of(model, data, 1.0).results
    assert found["test/active_units"] == 3
    assert found["test/kl"] >= 0.5 * 3 * model.posterior.gamma**2 * 0.99
    assert found["test/living_units"] == 0
    assert found["verdict"] == "collapsed"


def test_an_encoder_frozen_at_its_start_lags_and_the_model_collapses(configure: Configure) -> None:
    """Lagging inference (He et al. 2019) at its extreme: the posterior stays near the prior, the decoder gives up."""
    model, data, _ = optimum(configure, 3, 1.0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        model.encoder.layers[1].weight.mul_(0.01)
        model.encoder.layers[1].bias.zero_()
    pixels = data.splits["train"].pixels
    decoder = model.decoder
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.02)
    for _ in range(500):
        with torch.no_grad():
            codes = model.encode(pixels).sample(torch.randn(1, len(pixels), 3, generator=generator))[0]
        optimizer.zero_grad()
        loss = -model.likelihood.log_prob(pixels, decoder(codes)).mean()
        loss.backward()
        optimizer.step()
    evaluated = gathered(model, data, 1.0)
    assert evaluated.verdict.word == "collapsed"
    assert evaluated.living == (False, False, False)


def test_a_duplicated_unit_is_seen_in_the_information_and_not_in_the_count(configure: Configure) -> None:
    model, data, solution = optimum(configure, 2, 1.0)
    encoder, decoder = model.encoder.layers[1], model.decoder.layers[0]
    with torch.no_grad():  # the second unit copies the first
        encoder.weight[1], encoder.bias[3] = encoder.weight[0], encoder.bias[2]
        decoder.weight[:, 1] = decoder.weight[:, 0] = decoder.weight[:, 0] / 2
    found = evaluation_of(model, data, 1.0).results
    s = float(solution.posterior_variance[0])
    exact = 0.5 * torch.log(torch.tensor(1 + 2 * (1 - s) / s))
    lower, upper = found["test/mutual_information"]
    assert lower - 0.06 <= float(exact) <= upper + 0.06
    assert found["test/active_units"] == 2
    assert found["test/active_directions"] == 1
    aggregate = torch.tensor([[1.0, 1 - s], [1 - s, 1.0]])
    assert found["test/marginal_kl"][1] == pytest.approx(-0.5 * float(torch.logdet(aggregate)), abs=0.08)


def numbers(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if not isinstance(value, str | None)}


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides", [(), pytest.param(("likelihood=bernoulli", "data.binarize=dynamic", "model=mlp"), marks=SLOW)]
)
def test_nothing_depends_on_the_evaluation_batch_size(configure: Configure, overrides: tuple[str, ...]) -> None:
    config = configure("data=digits", "model=linear", "latent_dim=3", *overrides)
    model = build_model(checked(config), (1, 28, 28))
    found = {}
    for size in (297, 64, 13):
        data = build_data(checked(config))
        data.evaluation_batch_size = size
        found[size] = numbers(evaluation_of(model, data, 1.0, Effort(70, 3, thorough=True)).results)
    for size in (64, 13):
        assert found[size].keys() == found[297].keys()
        for name, value in found[297].items():
            if not isinstance(value, dict):
                assert_close(found[size][name], value, rtol=1e-4, atol=1e-5)
            elif "counts_per_unit" not in value:
                assert found[size][name] == pytest.approx(value, rel=1e-5)


def test_more_samples_begin_with_the_same_ones(configure: Configure) -> None:
    config = configure("data=digits", "model=linear", "latent_dim=3")
    model, data = build_model(checked(config), (1, 28, 28)), build_data(checked(config))
    few = evaluation_of(model, data, 1.0, Effort(60, 2, thorough=False)).results["test/log_px_by_samples"]
    many = evaluation_of(model, data, 1.0, Effort(130, 2, thorough=False)).results["test/log_px_by_samples"]
    assert list(many) == ["1", "50", "130"]
    assert (many["1"], many["50"]) == pytest.approx((few["1"], few["50"]), rel=1e-12)


@pytest.mark.parametrize(
    ("overrides", "kl_weight", "absent"),
    [
        (("posterior=point",), 1.0, ["verdict", "test/log_px"]),
        (("likelihood=discretized_logistic",), 1.0, []),
        (("posterior=full_covariance",), 1.0, []),
        ((), 0.0, ["verdict"]),
        (("objective=capacity",), 1.0, ["verdict"]),
        (("objective=free_bits",), 1.0, ["verdict"]),
        (("objective=mmd", "objective.alpha=1.0"), 1.0, ["verdict"]),
        (("objective=mmd", "objective.alpha=0.5"), 1.0, []),
        (("posterior=student_t", "likelihood=continuous_bernoulli"), 1.0, []),
        (("likelihood=gaussian_per_pixel", "latent_dim=1"), 1.0, []),
        (("likelihood=gaussian_learned", "latent_dim=1"), 0.5, []),
    ],
)
def test_every_kind_of_model_can_be_evaluated(
    configure: Configure, overrides: tuple[str, ...], kl_weight: float, absent: list[str]
) -> None:
    small = "data.source._target_=small_digits.small_digits"
    config = checked(configure("data=digits", small, "model=mlp", "latent_dim=3", *overrides))
    data = build_data(config)
    found = evaluation_of(build_model(config, data.image_shape), data, kl_weight).results
    for name in ("verdict", "test/log_px"):
        assert (found[name] is None) == (name in absent), name
    assert found["verdict/sentence"]
    assert found["caveats"] == []
    assert 0.1 <= found["test/probe_accuracy"] <= 1
    assert 0.1 <= found["test/probe_accuracy_random_encoder"] <= 1


def test_an_untrained_copy_is_a_fresh_draw_and_leaves_the_original(configure: Configure) -> None:
    from vae_lightning.evaluation.probes import untrained_copy

    network = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    before = network[0].weight.clone()
    one, again, other = (untrained_copy(network, seed)[0].weight for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert not torch.equal(one, before)
    assert torch.equal(network[0].weight, before)


def test_the_oracles_data_have_exactly_the_spectrum(configure: Configure) -> None:
    _, data, _ = optimum(configure, 1, 1.0)
    eigenvalues = torch.linalg.eigvalsh(pixel_moments(data.splits["test"], "none").covariance).flip(0)
    assert_close(eigenvalues, SPECTRUM, atol=1e-5)
