"""vae-forecast: what it prints without training, and what it refuses."""

import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException

from vae_lightning.cli.forecast import configs_of, forecast
from vae_lightning.distributions import BernoulliLikelihood
from vae_lightning.errors import Code, UserError
from vae_lightning.forecasting import Foretold, _asked, _foretold

LINEAR = [
    "data=linear_gaussian",
    "likelihood.mean=identity",
    "data.source.spectrum=[4,2,1,0.3]",
    "likelihood.variance=0.5",
    "latent_dim=3",
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    GlobalHydra.instance().clear()


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", ["vae-forecast", *arguments])
    forecast()


def test_it_says_who_lives_at_which_weight(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    called(monkeypatch, *LINEAR, "kl_weight=3")
    printed = capsys.readouterr().out
    rows = [line.split() for line in printed.splitlines()]
    assert [(row[0], row[1], *row[-2:]) for row in rows if row[:1] in (["1"], ["2"], ["3"])] == [
        ("1", "8", "lives", "0.490"),  # ln(4 / 1.5) / 2
        ("2", "4", "lives", "0.144"),
        ("3", "2", "dies", "0.000"),
    ]
    for part in ("2 of 3", "1.5 (σ² 0.5)", "0.63", "½ sum (x - xh)² + w KL"):
        assert part in printed
    assert not list(Path().iterdir())  # nothing is written


@pytest.mark.renders
@pytest.mark.parametrize(
    "sweep",
    [
        ["-m", "kl_weight=1,3,10"],
        ["kl_weight=1,3,10"],
        pytest.param(["kl_weight=interval(1,10)"], marks=pytest.mark.slow),  # it is composed 25 times
    ],
)
def test_several_weights_are_a_curve(
    sweep: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called(monkeypatch, *LINEAR, *sweep)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert next(row for row in rows if row[:1] == ["1"])[:2] == ["1", "3"]
    assert ["10", "0", "0", "0.00", "0.73"] in rows  # (4 + 2 + 1 + .3) / (2 * .5 * 10): nothing lives at the ceiling
    assert Path("forecast.png").stat().st_size > 1000


@pytest.mark.slow
def test_each_other_choice_gets_its_own(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["data=digits", "likelihood=gaussian,bernoulli", "kl_weight=1,30", "--figure", "both.png"]
    called(monkeypatch, *arguments)
    printed = capsys.readouterr().out
    assert "digits gaussian" in printed
    assert "digits bernoulli" in printed
    assert Path("both.png").exists()


def test_a_learned_variance_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    called(monkeypatch, "data=digits", "likelihood=gaussian_learned", "latent_dim=2", "kl_weight=1")
    assert "kl_weight·σ²" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argument",
    [
        "kl_weight=interval(0,3)",
        "kl_weight=-1",
        "data.binarize=sometimes",
        "latent_dim=0",
        "data._target_=my.Data",
    ],
)
def test_what_cannot_be_forecast_is_refused(argument: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError) as refused:
        called(monkeypatch, "data=digits", argument)
    assert str(refused.value).startswith(f"{argument}: ")


def test_an_interval_is_named_by_its_key() -> None:
    with pytest.raises(UserError) as refused:
        configs_of(["kl_weight=interval(3,1)"])
    assert (refused.value.code, refused.value.about) == (Code.INVALID, ("kl_weight",))


def test_a_direction_at_its_very_threshold_dies(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called(monkeypatch, *LINEAR, "kl_weight=4")
    assert "1 of 3" in capsys.readouterr().out


def test_weights_of_zero_are_told_and_not_drawn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called(monkeypatch, *LINEAR, "kl_weight=0,1")
    assert Path("forecast.png").exists()
    capsys.readouterr()
    called(monkeypatch, *LINEAR, "kl_weight=0")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [(row[1], *row[-2:]) for row in rows if row[:1] == ["1"]] == [("8", "lives", "–")]  # its KL has no bound


def test_what_a_plain_vae_would_do_is_said_to_be_that(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called(monkeypatch, *LINEAR, "objective=capacity")
    assert "objective=capacity" in capsys.readouterr().out


def test_a_choice_without_a_forecast_does_not_hide_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(BernoulliLikelihood, "why_no_score", "it will not say")
    with pytest.raises(UserError) as refused:
        called(monkeypatch, "data=digits", "likelihood=bernoulli,gaussian")
    assert str(refused.value).startswith("likelihood=bernoulli: ")
    assert "digits gaussian" in capsys.readouterr().out
    with pytest.raises(UserError) as refused:
        called(monkeypatch, "data=digits", "--figure", "missing/f.png")
    assert str(refused.value).startswith("--figure missing/f.png: ")


def foretold(*overrides: str) -> Foretold:
    return _foretold(_asked(configs_of([*LINEAR, *overrides])[0]))


def test_the_weight_is_the_one_at_the_schedules_end() -> None:
    assert foretold().multiplier == 1
    steps = 3 * 40  # of 4,000 vectors in batches of 100
    rising = ("beta_schedule=linear", "beta_schedule.length='6 epochs'", "data.source.n_training=4000")
    assert foretold(*rising, "trainer.max_epochs=3").multiplier == pytest.approx((steps - 1) / (2 * steps))
    assert foretold(*rising, "trainer.max_epochs=7").multiplier == 1


def test_the_objective_says_which_weights_matter() -> None:
    plain = foretold().found.critical_weights[:3]
    assert plain.tolist() == pytest.approx([8, 4, 2], rel=1e-5)
    mmd = foretold("objective=mmd", "objective.alpha=0.5", "objective.lambda_=10").found.critical_weights[:3]
    assert mmd.tolist() == pytest.approx([16, 8, 4], rel=1e-5)
    iwae = foretold("objective=iwae", "objective.n_samples=5").found.critical_weights[:3]
    assert iwae.tolist() == [float("inf")] * 3  # each above 5/4
    assert [note for note in foretold("objective=free_bits").notes if "free_bits" in note]
    assert [note for note in foretold("posterior=batch_norm").notes if "0.245" in note]  # gamma^2 / 2


def test_the_ceiling_divides_by_what_a_nat_costs_beside_the_bound() -> None:
    assert foretold().price(2.0) == 2.0
    assert foretold("objective=iwae", "objective.n_samples=5").price(3.0) == 2.0
    assert foretold("objective=iwae", "objective.n_samples=5").price(1.0) is None
    for other in (
        "objective=mmd",
        "objective=free_bits",
        "objective=capacity",
        "posterior=point",
        "beta_schedule=geco",
    ):
        assert foretold(other).price(1.0) is None, other


def test_so_many_units_live_between_two_weights(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called(monkeypatch, *LINEAR, "--active-units", "2")
    assert "from 2 to 4, as 2.828" in capsys.readouterr().out
    with pytest.raises(UserError) as refused:
        called(monkeypatch, *LINEAR, "--active-units", "4")
    assert (refused.value.code, refused.value.about) == (Code.INVALID, ("--active-units",))
    for keeps in ("objective=free_bits", "posterior=batch_norm", "posterior=point", "beta_schedule=geco"):
        with pytest.raises(UserError) as refused:
            called(monkeypatch, *LINEAR, keeps, "--active-units", "2")
        assert (refused.value.code, refused.value.about) == (Code.INCOMPATIBLE, ("--active-units",)), keeps


def test_an_unknown_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HydraException) as refused:
        called(monkeypatch, "kl_wieght=1")
    assert "kl_wieght" in str(refused.value)


def test_values_multiply() -> None:
    configs = configs_of(["seed=0,1", "kl_weight=1,2,3", "latent_dim=4"])
    assert [(config["seed"], config["kl_weight"]) for config in configs] == [(s, w) for s in (0, 1) for w in (1, 2, 3)]
    assert {config["latent_dim"] for config in configs} == {4}


def test_it_needs_no_lightning() -> None:
    """Lightning alone takes as long to import as the whole answer may."""
    code = "import sys, vae_lightning.forecasting; print(sorted({'lightning', 'torchmetrics'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
