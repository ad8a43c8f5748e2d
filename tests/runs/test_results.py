"""The results model: what 0.3 wrote is read as if this version had written it, and every view shows its columns."""

from typing import Any

import pytest

from vae_lightning.evaluation import OWN
from vae_lightning.runs.results import COLUMNS, NONE, Results, View, columns_of

OF_0_3: dict[str, Any] = {
    "run": "a", "study": "toy", "kl_weight": 2.0, "kl_weight_times_variance": 1.0, "latent_dim": 2, "seed": 0,
    "epochs": 3, "seconds": 1.5, "test/elbo": -100.0, "test/kl": 4.0, "test/distortion": 96.0,
    "test/active_units": 1, "test/kl_per_unit": [4.0, 0.0], "test/log_px_samples": 10, "test/log_px": -99.0,
    "settings": {"data.binarize": "none", "likelihood.name": "gaussian", "beta_schedule.name": "constant",
                 "objective.name": "elbo", "posterior.name": "diagonal"},
}  # fmt: skip
FACTS = ("has_density", "forecast_applies", "schedule_has_feedback", "bound_is_a_likelihood")


def old(found: dict[str, Any] | None = None, **settings: str) -> Results:
    chosen = {key.replace("__", "."): value for key, value in settings.items()}
    return Results.read({**OF_0_3, **(found or {}), "settings": {**OF_0_3["settings"], **chosen}})


@pytest.mark.parametrize(
    ("results", "facts"),
    [
        (old(), (True, True, False, True)),
        (old({"test/log_px_samples": 0}, posterior__name="point"), (False, False, False, True)),
        (old(objective__name="free_bits"), (True, False, False, True)),
        (old(posterior__name="laplace"), (True, False, False, True)),
        (old(beta_schedule__name="geco"), (True, True, True, True)),
        (old(likelihood__name="bernoulli"), (True, True, False, False)),
        (old(likelihood__name="bernoulli", data__binarize="dynamic"), (True, True, False, True)),
        (old({"facts/has_density": False, "facts/forecast_applies": False}), (False, False, False, True)),
    ],
)
def test_facts_that_0_3_did_not_record_are_known(results: Results, facts: tuple[bool, ...]) -> None:
    assert tuple(getattr(results, name) for name in FACTS) == facts


def test_values_are_had_by_key_and_by_name() -> None:
    results = old({"forecast/kl_per_unit": [1.0, 0.5]})
    assert results["test/elbo"] == results.elbo == -100.0
    assert results.kl_weight_at_the_end == 2.0
    assert results.kl_if_linear == 1.5
    assert results.critical_weights is None


@pytest.mark.parametrize(
    ("content", "at_fault"),
    [
        ([], "dictionary"),
        ({}, "run"),
        ({"run": "a"}, "test/elbo"),
        ({**OF_0_3, "test/elbo": "high"}, "test/elbo"),
        ({**OF_0_3, "test/kl": float("nan")}, "test/kl"),
        ({**OF_0_3, "run": 3}, "run"),
    ],
)
def test_what_is_not_the_results_of_a_run_is_refused(content: object, at_fault: str) -> None:
    with pytest.raises(ValueError, match=at_fault):
        Results.read(content)


def test_a_value_that_could_not_be_had_is_a_dash_in_every_view() -> None:
    results = old(dict.fromkeys(("test/elbo", "test/active_units", "test/kl_per_unit", "test/log_px")))
    for view in View:
        for column in columns_of([results], view):
            assert isinstance(column.text(results), str)
    assert [results.text(name) for name in ("test/elbo", "test/active_units", "test/log_px")] == [NONE] * 3


def test_an_autoencoder_has_no_kl_in_any_view() -> None:
    results = old({"test/log_px_samples": 0, "test/kl": 0.0})
    assert (results.text("test/elbo"), results.text("test/kl"), results.text("test/distortion")) == (
        NONE,
        NONE,
        "96.00",
    )


@pytest.mark.parametrize(
    ("found", "word"), [({"verdict": "pruned"}, "pruned"), ({"verdict": None}, "no verdict"), ({}, "not examined")]
)
def test_the_verdict_in_a_word(found: dict[str, Any], word: str) -> None:
    assert old(found).verdict_word == old(found).text("verdict") == word


def test_a_forecast_of_another_model_says_so() -> None:
    found = {"forecast/active_units": 2}
    assert old(found).text("forecast/active_units") == "2"
    assert old(found, objective__name="free_bits").text("forecast/active_units") == "2 if plain"


def test_a_new_diagnostic_is_one_function_and_one_column() -> None:
    key = "test/frechet_distance_to_prior"
    assert [metric.keys for metric in OWN if key in metric.keys] == [(key,)]
    [column] = [column for column in COLUMNS if column.name == key]
    assert {View.CSV, View.WANDB, View.EVALUATION, View.PAGE} <= column.views
    results = old({key: 0.25})
    assert results.wandb_summary()[key] == 0.25
    for view in (View.CSV, View.EVALUATION, View.PAGE):
        assert column in results.columns(view)
    assert results.text(key) == "0.25"


def test_every_column_of_a_measured_value_is_given_by_a_metric() -> None:
    given = {key for metric in OWN for key in metric.keys}
    shown = {column.name for column in COLUMNS if column.name.startswith(("test/", "forecast/", "verdict"))}
    assert shown <= given


def test_columns_of_metrics_from_outside_are_recorded_with_the_run() -> None:
    recorded = {"name": "mine/width", "label": "my width", "unit": "mm", "format": ".1f"}
    results = old({"mine/width": 2.0, "columns": [recorded]})
    [column] = [column for column in columns_of([old(), results], View.PAGE) if column.name == "mine/width"]
    assert (column.label, column.text(results), column.text(old())) == ("my width", "2.0", NONE)


def test_what_w_and_b_has_already_is_not_in_its_summary() -> None:
    summary = old().wandb_summary()
    assert {"test/elbo", "kl_weight", "seconds"} <= summary.keys()
    assert not {"run", "study", "settings"} & summary.keys()
