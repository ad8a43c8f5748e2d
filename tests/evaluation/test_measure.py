"""One number that cannot be had never costs the others."""

import json
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from linear_models import evaluation_of, optimum

from vae_lightning.errors import Code, UserError
from vae_lightning.evaluation import OWN, Effort, Evaluated, check_keys, gives, metric_of
from vae_lightning.evaluation.measure import measured
from vae_lightning.runs.identity import identify
from vae_lightning.training import train

QUICK = Effort(importance_samples=2, residual_samples=2, thorough=False)


@gives("test/one", "test/other")
def half_good(_: Evaluated) -> tuple[float, list[float]]:
    return 1.0, [2.0, math.nan]


@gives("test/broken")
def broken(_: Evaluated) -> float:
    raise RuntimeError("not today")


@gives("test/absent", "test/missing")
def undefined(_: Evaluated) -> None:
    return None


@gives("test/long", thorough=True)
def long(_: Evaluated) -> float:
    return 1.0


def test_what_raises_or_is_not_finite_becomes_none_with_a_caveat_and_the_rest_stays(
    configure: Callable[..., dict[str, Any]],
) -> None:
    model, data, _ = optimum(configure, 2, 1.0)
    metrics = [metric_of(function, function.__name__) for function in (half_good, broken, undefined, long)]
    found = evaluation_of(model, data, 1.0, QUICK, metrics).results
    assert (found["test/one"], found["test/other"], found["test/broken"]) == (1.0, None, None)
    assert (found["test/absent"], found["test/missing"]) == (None, None)  # not defined is no fault
    assert "test/long" not in found
    assert [caveat.partition(":")[0] for caveat in found["caveats"]] == ["test/other", "test/broken"]
    assert math.isfinite(found["test/elbo"])
    json.dumps(found, allow_nan=False)


def test_tensors_are_kept_as_numbers_and_what_json_cannot_hold_costs_nothing_else(
    configure: Callable[..., dict[str, Any]],
) -> None:
    given = {
        "scalar": torch.tensor(0.5, dtype=torch.float64),
        "infinite": torch.tensor(math.inf),
        "array": np.float32([1.0, math.nan]),
        "nested": {"per_unit": [torch.tensor(1.0), np.int64(2)]},
        "object": object(),
    }
    metrics = [metric_of(lambda _, value=value: value, name) for name, value in given.items()]
    model, data, _ = optimum(configure, 2, 1.0)
    found = evaluation_of(model, data, 1.0, QUICK, metrics).results
    assert {key: found[key] for metric in metrics for key in metric.keys} == {
        "test/scalar": 0.5,
        "test/infinite": None,
        "test/array": None,
        "test/nested": {"per_unit": [1.0, 2]},
        "test/object": None,
    }
    assert [caveat.partition(":")[0] for caveat in found["caveats"]] == ["test/infinite", "test/array", "test/object"]
    assert math.isfinite(found["test/elbo"])
    json.dumps(found, allow_nan=False)


def test_an_infinite_weight_costs_only_what_is_computed_from_it(configure: Callable[..., dict[str, Any]]) -> None:
    model, data, _ = optimum(configure, 2, 1.0)
    model.decoder.layers[0].weight.data[:, 1] = math.inf
    found = evaluation_of(model, data, 1.0, QUICK).results
    assert found["test/elbo"] is None
    assert found["test/kl"] > 0
    assert found["test/active_units"] == 2
    assert {"verdict", "test/distortion"} <= {key for key, value in found.items() if value is None}
    json.dumps(found, allow_nan=False)


def test_a_run_of_huge_numbers_has_results(configure: Callable[..., dict[str, Any]]) -> None:
    config = configure(
        "smoke=true", "data=linear_gaussian", "data.source.spectrum=[1e5,1e4,1e3]", "latent_dim=3", "model=mlp",
        "likelihood.mean=identity", "likelihood.variance=1e4", "data.source.n_training=400",
    )  # fmt: skip
    train(config)
    found = json.loads((identify(config).directory / "results.json").read_text())
    assert math.isfinite(found["test/elbo"])
    for key in ("test/log_px", "verdict"):
        assert found[key] is not None or any(key in caveat for caveat in found["caveats"])


def test_a_function_that_says_nothing_of_itself_is_named_by_its_name() -> None:
    def my_metric(_: Evaluated, factor: float = 1.0) -> float:
        return factor

    metric = metric_of(partial(my_metric, factor=2.0), "my_metric")
    assert metric.keys == ("test/my_metric",)
    assert metric.columns[0]["label"] == "my metric"
    assert metric_of(partial(half_good), "half_good").keys == ("test/one", "test/other")


def test_a_metric_may_not_write_over_another() -> None:
    check_keys([metric_of(broken, "broken")], OWN)
    twice = [metric_of(broken, "broken")] * 2
    for own in (twice, [metric_of(gives("test/kl")(lambda _: 0.0), "mine")]):
        with pytest.raises(UserError) as refused:
            check_keys(own, OWN)
        assert (refused.value.code, refused.value.about) == (Code.INCOMPATIBLE, ("metrics",))


def test_a_format_that_is_none_is_refused_where_it_is_written() -> None:
    with pytest.raises(ValueError, match="format"):
        gives("test/x", style="not one")


def test_measuring_leaves_the_order_of_the_metrics(configure: Callable[..., dict[str, Any]]) -> None:
    model, data, _ = optimum(configure, 2, 1.0)
    evaluated = evaluation_of(model, data, 1.0, QUICK).evaluated
    values, _ = measured([metric_of(half_good, ""), metric_of(undefined, "")], evaluated)
    assert list(values) == ["test/one", "test/other", "test/absent", "test/missing"]
