"""Bisection of the KL weight: against thresholds that are known."""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from commands import Sweep
from hydra.core.override_parser.overrides_parser import OverridesParser
from pydantic import ValidationError

from vae_lightning.composing import composed
from vae_lightning.config import checked
from vae_lightning.data import ImageDataModule
from vae_lightning.data.splits import Images
from vae_lightning.distributions import BernoulliLikelihood
from vae_lightning.errors import Code, UserError
from vae_lightning.runs.directory import checkpoints
from vae_lightning.sweeps import bisect as module
from vae_lightning.sweeps.bisect import active_units_of_run, bisect, planned_searches
from vae_lightning.sweeps.threshold_search import BisectSettings, Measure, Search, searched
from vae_lightning.training import train

Config = dict[str, Any]
DEFAULTS = {"units": 1, "precision": 0.05, "around": 1.5, "max_rounds": 30}


def settings(**chosen: Any) -> BisectSettings:
    return BisectSettings(**{**DEFAULTS, **chosen})


def weight_of(overrides: Sequence[str]) -> float:
    return float(overrides[-1].removeprefix("kl_weight="))


def units_by(thresholds: Sequence[float], rounds: list[int]) -> Measure:
    """Answer as models of which a unit lives below each threshold."""

    def measure(asked: Sequence[tuple[str, ...]]) -> list[int]:
        rounds.append(len(asked))
        return [sum(weight_of(job) < threshold for threshold in thresholds) for job in asked]

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


def test_what_does_not_end_is_an_error() -> None:
    with pytest.raises(UserError) as stopped:
        searched([Search((), None, (5.0, 12.0))], settings(precision=0.002, max_rounds=3), units_by([8.0], []))
    assert stopped.value.about == ("hydra.sweeper.max_rounds",)
    needed = math.ceil(math.log2(math.log(12 / 5) / math.log(1.05))) + 1
    searched([Search((), None, (5.0, 12.0))], settings(max_rounds=needed), units_by([8.0], []))


@pytest.mark.parametrize(
    "units",
    [lambda weight: 1, lambda weight: 0, lambda weight: int(weight > 9)],
    ids=["never dead", "never alive", "the wrong way round"],
)
def test_a_search_without_a_threshold_ends_soon_and_has_a_reason(units: Callable[[float], int]) -> None:
    search = Search((), None, (5.0, 12.0))
    rounds: list[int] = []

    def measure(asked: Sequence[tuple[str, ...]]) -> list[int]:
        rounds.append(len(asked))
        return [units(weight_of(job)) for job in asked]

    searched([search], settings(), measure)
    assert search.threshold is None
    assert search.outcome
    assert len(rounds) < 10


@pytest.mark.parametrize("threshold", [1.0004, 1.1999, 9.9995, 0.030007])
def test_the_finest_precision_is_reached(threshold: float) -> None:
    search = Search((), None, (threshold / 1.3, threshold * 1.3))
    searched([search], settings(precision=0.002), units_by([threshold], []))
    assert search.low is not None
    assert search.high is not None
    assert search.low <= threshold < search.high <= search.low * 1.002
    with pytest.raises(ValidationError):
        settings(precision=0.001)


@lru_cache
def _composed(overrides: tuple[str, ...]) -> Config:
    return composed(overrides, derive=False)


def compose(overrides: Sequence[str]) -> Config:
    """Compose without the seed and the KL weight, which are plain values, so that few configs need composing."""
    plain = dict(word.split("=") for word in overrides if word.startswith(("seed=", "kl_weight=")))
    config = _composed(tuple(word for word in overrides if word.split("=")[0] not in plain))
    return {**config, "seed": int(plain.get("seed", 0)), "kl_weight": float(plain.get("kl_weight", 1))}


def planned(*arguments: str, **chosen: Any) -> list[Search]:
    return planned_searches(OverridesParser.create().parse_overrides(list(arguments)), settings(**chosen), compose)


ORACLE = ["data=linear_gaussian", "data.source.n_training=1000", "model=linear", "likelihood.mean=identity"]


def test_the_forecast_is_where_a_search_begins() -> None:
    oracle = [*ORACLE, "likelihood.variance=0.5", "latent_dim=4"]
    searches = planned(*oracle, "seed=0,1", units=2)
    assert [search.overrides[-1] for search in searches] == ["seed=0", "seed=1"]
    for search in searches:
        assert search.forecast == pytest.approx(4 / 0.5, rel=1e-5)  # the second eigenvalue over sigma^2
        assert search.bracket == pytest.approx((8 / 1.5, 8 * 1.5), rel=1e-5)
    [given] = planned(*oracle, "kl_weight=interval(3,5)")
    assert given.bracket == (3, 5)


@pytest.mark.parametrize(
    ("arguments", "about"),
    [
        (["kl_weight=1,2"], {"kl_weight"}),
        (["kl_weight=interval(5,2)"], {"kl_weight"}),
        (["kl_weight=interval(-5,20)"], {"kl_weight"}),
        (["kl_weight=interval(5,inf)"], {"kl_weight"}),
        (["latent_dim=interval(2,5)"], {"latent_dim"}),
        (["latent_dim=1"], {"hydra.sweeper.units", "latent_dim"}),
    ],
)
def test_a_search_that_cannot_begin_is_refused(arguments: list[str], about: set[str]) -> None:
    with pytest.raises(UserError) as refused:
        planned("data=digits", *arguments, units=2)
    assert set(refused.value.about) == about


def test_without_a_forecast_a_search_needs_a_bracket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BernoulliLikelihood, "why_no_score", "it will not say")
    with pytest.raises(UserError) as refused:
        planned("data=digits", "likelihood=bernoulli", units=2)
    assert set(refused.value.about) == {"likelihood", "kl_weight"}


def test_an_interval_stands_in_for_a_forecast_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_own_data(_: dict[str, Any]) -> list[float]:
        raise UserError("no forecast", Code.INCOMPATIBLE, ["data"])

    monkeypatch.setattr(module, "critical_weights", of_own_data)
    [search] = planned("data=digits", "kl_weight=interval(3,5)")
    assert (search.bracket, search.forecast) == ((3, 5), None)
    with pytest.raises(UserError) as refused:
        planned("data=digits")
    assert refused.value.about == ("data",)


@pytest.mark.parametrize(("n_validation", "judged_by"), [(0, "train"), (200, "val")])
def test_units_are_counted_without_test_images(
    n_validation: int, judged_by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [*ORACLE, "latent_dim=2", "trainer.max_epochs=2", "optimizer.lr=0.05", "wandb.mode=disabled"]
    config = {**compose([*few, f"data.validation_size={n_validation}", "kl_weight=0.1"]), "runs_dir": str(tmp_path)}
    train(config)
    setup = ImageDataModule.setup

    def count_with_blank(split: str) -> int:
        def with_blank(self: ImageDataModule, stage: str | None = None) -> None:
            setup(self, stage)
            pixels, *others = self.splits[split]
            self.splits[split] = Images(pixels * 0, *others)

        monkeypatch.setattr(ImageDataModule, "setup", with_blank)
        return active_units_of_run(checked(config))

    assert active_units_of_run(checked(config)) == count_with_blank("test") > 0
    assert count_with_blank(judged_by) == 0


def test_what_the_runs_found_on_test_images_steers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each result tells of no active unit, which would end a search with nothing."""
    asked: list[tuple[float, int]] = []

    class Launcher:
        def launch(self, jobs: Sequence[Sequence[str]], first_number: int) -> list[SimpleNamespace]:
            asked.extend((weight_of(job), first_number) for job in jobs)
            return [SimpleNamespace(return_value={"test/active_units": 0})] * len(jobs)

    monkeypatch.setattr(module, "active_units_of_run", lambda config: int(config.kl_weight < 8))
    arguments = OverridesParser.create().parse_overrides(["data=digits", "kl_weight=interval(4,16)"])
    bisect(arguments, {**DEFAULTS, "precision": 0.5}, compose, Launcher())  # type: ignore[arg-type]
    assert asked == [(4.0, 0), (16.0, 0), (8.0, 2), (5.657, 3)]


def test_a_run_without_its_checkpoint_cannot_be_measured(tmp_path: Path) -> None:
    config = {**compose([*ORACLE, "latent_dim=2"]), "runs_dir": str(tmp_path)}
    with pytest.raises(UserError) as missing:
        active_units_of_run(checked(config))
    assert missing.value.code is Code.NOT_FOUND
    assert checkpoints(Path(missing.value.about[0])) == []


@pytest.mark.slow
def test_the_threshold_of_the_linear_vae_is_found_by_real_runs(sweep: Callable[..., Sweep]) -> None:
    """The largest eigenvalue over sigma^2 is 8 / 2 = 4: above it everything dies."""
    long_enough = ["trainer.max_epochs=150", "optimizer.lr=0.02", "lr_schedule=cosine"]
    chosen = ["hydra/sweeper=bisect", "hydra.sweeper.precision=0.1", "hydra.sweeper.around=1.4", "latent_dim=3"]
    asked = sweep(*ORACLE, *long_enough, *chosen, "likelihood.variance=2", "seed=0,1")
    done = asked.do()
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.rstrip().endswith(("seed=0", "seed=1"))]
    rows = [row for row in rows if len(row) == 5 and row[0].replace(".", "").isdecimal()]
    assert len(rows) == 2
    for found, alive, dead, forecast, _ in rows:
        assert float(forecast) == pytest.approx(4)
        assert float(dead) / float(alive) <= 1.1
        assert float(found) == pytest.approx(4, rel=0.1)
    again = asked.do()  # everything is there: the same answer, at once
    assert "running" not in again.stdout
    for row in rows:
        assert row in [line.split() for line in again.stdout.splitlines()]
