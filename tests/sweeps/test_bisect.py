"""Bisection of the KL weight: against thresholds that are known."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from commands import Sweep
from hydra.core.override_parser.overrides_parser import OverridesParser
from pydantic import ValidationError

from vae_lightning.composing import composed
from vae_lightning.errors import UserError
from vae_lightning.sweeps import bisecting
from vae_lightning.sweeps.bisect import planned_searches
from vae_lightning.sweeps.threshold_search import BisectSettings, Search, searched

Measure = Callable[[Sequence[tuple[str, ...]]], list[dict[str, Any]]]


def settings(**chosen: Any) -> BisectSettings:
    return BisectSettings(**{"units": 1, "precision": 0.05, "around": 1.5, "max_rounds": 30, **chosen})


def weight_of(overrides: Sequence[str]) -> float:
    return float(overrides[-1].removeprefix("kl_weight="))


def units_by(thresholds: Sequence[float], rounds: list[int]) -> Measure:
    """Answer as models of which a unit lives below each threshold."""

    def measure(asked: Sequence[tuple[str, ...]]) -> list[dict[str, Any]]:
        rounds.append(len(asked))
        return [{"test/active_units": sum(weight_of(job) < threshold for threshold in thresholds)} for job in asked]

    return measure


@pytest.mark.parametrize("precision", [0.2, 0.05, 0.003])
@pytest.mark.parametrize("bracket", [(5.0, 12.0), (0.01, 0.02), (900.0, 1000.0), (7.9, 8.1)])
def test_the_threshold_is_found_from_any_bracket(bracket: tuple[float, float], precision: float) -> None:
    search = Search((), None, bracket)
    rounds: list[int] = []
    searched([search], settings(precision=precision), units_by([8.0], rounds))
    assert search.low is not None
    assert search.high is not None
    assert search.low < 8 <= search.high
    assert search.high / search.low <= 1 + precision
    assert search.threshold is not None
    assert abs(math.log(search.threshold / 8)) <= math.log1p(precision)


def test_several_searches_share_their_rounds_and_halve_their_brackets() -> None:
    searches = [Search((f"seed={seed}",), 8.0, (4.0, 16.0)) for seed in range(3)]
    rounds: list[int] = []
    searched(searches, settings(units=2, precision=0.1), units_by([20.0, 8.0, 1.0], rounds))
    assert all(search.threshold == pytest.approx(8, rel=0.1) for search in searches)
    assert rounds[0] == 6
    assert len(rounds) - 1 == math.ceil(math.log2(math.log(4) / math.log(1.1)))
    assert set(rounds[1:]) == {3}


def test_what_does_not_end_is_said() -> None:
    with pytest.raises(UserError, match="max_rounds=3"):
        searched([Search((), None, (5.0, 12.0))], settings(precision=0.002, max_rounds=3), units_by([8.0], []))
    needed = math.ceil(math.log2(math.log(12 / 5) / math.log(1.05))) + 1
    searched([Search((), None, (5.0, 12.0))], settings(max_rounds=needed), units_by([8.0], []))


@pytest.mark.parametrize(
    ("units", "outcome"),
    [
        (lambda weight: 1, "alive at every weight that was tried"),
        (lambda weight: 0, "dead at every weight that was tried"),
        (lambda weight: int(weight > 9), "more units were active at 12 than at 5"),
    ],
    ids=["never dead", "never alive", "the wrong way round"],
)
def test_a_search_without_a_threshold_ends_soon_and_says_why(units: Callable[[float], int], outcome: str) -> None:
    search = Search((), None, (5.0, 12.0))
    rounds: list[int] = []

    def measure(asked: Sequence[tuple[str, ...]]) -> list[dict[str, Any]]:
        rounds.append(len(asked))
        return [{"test/active_units": units(weight_of(job))} for job in asked]

    searched([search], settings(), measure)
    assert search.threshold is None
    assert search.outcome == outcome
    assert len(rounds) < 10


def planned(*arguments: str, **chosen: Any) -> list[Search]:
    parsed = OverridesParser.create().parse_overrides(list(arguments))
    return planned_searches(parsed, settings(**chosen), lambda overrides: composed(overrides, derive=False))


def test_the_forecast_is_where_a_search_begins() -> None:
    oracle = ["data=linear_gaussian", "model=linear", "likelihood.mean=identity", "likelihood.variance=0.5"]
    searches = planned(*oracle, "latent_dim=4", "seed=0,1", units=2)
    assert [search.overrides[-1] for search in searches] == ["seed=0", "seed=1"]
    for search in searches:
        assert search.forecast == pytest.approx(4 / 0.5, rel=1e-5)  # the second eigenvalue over sigma^2
        assert search.bracket == pytest.approx((8 / 1.5, 8 * 1.5), rel=1e-5)
    [given] = planned(*oracle, "kl_weight=interval(3,5)")
    assert given.bracket == (3, 5)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["data=digits", "kl_weight=1,2"], "kl_weight=1,2: is what bisect looks for"),
        (["data=digits", "kl_weight=interval(5,2)"], "is what bisect looks for"),
        (["data=digits", "kl_weight=interval(-5,20)"], "kl_weight=interval(5,20) says where, between 1e-08 and 1e+08"),
        (["data=digits", "kl_weight=interval(5,inf)"], "is what bisect looks for"),
        (
            ["data=digits", "latent_dim=interval(2,5)"],
            "bisect searches for kl_weight only; name values",
        ),
        (["data=digits", "latent_dim=big"], "latent_dim=big: input should be a valid integer"),
        (["data=digits", "latent_dim=1"], "hydra.sweeper.units=2: the model has latent_dim=1"),
        (["data=digits", "likelihood=gaussian_per_pixel"], "no forecast to begin the search with"),
    ],
)
def test_a_search_that_cannot_begin_is_refused(arguments: list[str], told: str) -> None:
    with pytest.raises(UserError, match=re.escape(told)):
        planned(*arguments, units=2)


def test_an_interval_stands_in_for_a_forecast_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_own_data(_: dict[str, Any]) -> list[float]:
        raise UserError("a forecast reads the data of ... only")

    monkeypatch.setattr(bisecting, "critical_weights", of_own_data)
    [search] = planned("data=digits", "kl_weight=interval(3,5)")
    assert (search.bracket, search.forecast) == ((3, 5), None)
    with pytest.raises(UserError, match="a forecast reads"):
        planned("data=digits")


@pytest.mark.parametrize("threshold", [1.0004, 1.1999, 9.9995, 0.030007])
def test_the_finest_precision_is_reached(threshold: float) -> None:
    search = Search((), None, (threshold / 1.3, threshold * 1.3))
    searched([search], settings(precision=0.002), units_by([threshold], []))
    assert search.low <= threshold < search.high <= search.low * 1.002
    with pytest.raises(ValidationError, match=r"greater than or equal to 0\.002"):
        settings(precision=0.001)


@pytest.mark.slow
def test_the_threshold_of_the_linear_vae_is_found_by_real_runs(sweep: Callable[..., Sweep]) -> None:
    """The largest eigenvalue over sigma^2 is 8 / 2 = 4: above it everything dies."""
    oracle = ["data=linear_gaussian", "data.source.n_training=1000", "model=linear", "likelihood.mean=identity"]
    long_enough = ["trainer.max_epochs=150", "optimizer.lr=0.02", "lr_schedule=cosine"]
    bisect = ["hydra/sweeper=bisect", "hydra.sweeper.precision=0.1", "hydra.sweeper.around=1.4", "latent_dim=3"]
    asked = sweep(*oracle, *long_enough, *bisect, "likelihood.variance=2", "seed=0,1")
    done = asked.do()
    assert done.returncode == 0, done.stderr
    table = done.stdout[done.stdout.index("the largest KL weight at which at least one unit is active") :]
    rows = [line.split() for line in table.splitlines() if line.rstrip().endswith(("seed=0", "seed=1"))]
    assert len(rows) == 2
    for found, alive, dead, forecast, _ in rows:
        assert float(forecast) == pytest.approx(4)
        assert float(dead) / float(alive) <= 1.1
        assert float(found) == pytest.approx(4, rel=0.1)
    again = asked.do()  # everything is there: the same answer, at once
    assert "running" not in again.stdout
    assert table in again.stdout
