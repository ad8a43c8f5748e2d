"""The collapse monitor in somebody else's training: right numbers, the same training, a warning where one is due."""

import csv
import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from torch import Tensor, nn
from torch.distributions import Independent, Normal, kl_divergence
from torch.utils.data import DataLoader, TensorDataset

import vae_lightning as vl
from vae_lightning.callbacks.collapse_monitor import CollapseMonitor, CollapseWarning
from vae_lightning.errors import Code, UserError

UNITS, VALUES = 3, 8
X = torch.rand(400, VALUES, generator=torch.Generator().manual_seed(0)) * torch.arange(VALUES, 0, -1)
HELD = X[300:]
# Of this data all three directions live at a weight of 0.1, and none at one of 1000.
ALL_LIVE, NONE_LIVES = (
    vl.forecast(X, loss=vl.from_loss("mse_sum", weight=weight), latent_dim=UNITS) for weight in (0.1, 1000.0)
)
pytestmark = [  # Lightning has advice on loaders, and uses what torch will drop; the trainings here are short
    pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::vae_lightning.callbacks.collapse_monitor.CollapseWarning"),
]


class Vae:
    """What people write; with drop-out, which draws from torch's random numbers and must be off in a look."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(VALUES, 16), nn.Tanh(), nn.Dropout(0.1), nn.Linear(16, 2 * UNITS))
        self.decoder = nn.Sequential(nn.Linear(UNITS, 16), nn.Tanh(), nn.Linear(16, VALUES))
        self.register_buffer("alive", torch.ones(UNITS))
        self.beta = 0.1

    def encode(self, x: Tensor) -> Any:
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        return mean * self.alive, log_variance * self.alive

    def decode(self, z: Tensor) -> Tensor:
        found: Tensor = self.decoder(z)
        return found

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x = batch[0]
        mean, log_variance = self.encode(x)
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        kl = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1).mean()
        return (self.decode(z) - x).square().sum(1).mean() + self.beta * kl

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=0.01)  # type: ignore[attr-defined]


class Plain(Vae, LightningModule):
    """Of ``lightning.pytorch``."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pass


class Kept(Logger):
    """Keeps what it is given."""

    name, version = "kept", 0

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int | None, dict[str, Any]]] = []

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self.rows.append((step, dict(metrics)))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass


class TensorBoardLogger(Kept):
    """What of TensorBoard's is called; it is known by its name."""

    @property
    def experiment(self) -> Any:
        return self

    def add_histogram(self, tag: str, values: Any, global_step: int) -> None:
        self.rows.append((global_step, {tag: values}))


class Kill(Callback):
    """A hand that ends a unit in the middle of the training."""

    def __init__(self, at: dict[int, int]) -> None:
        self.at = at

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step in self.at:
            pl_module.alive[self.at[trainer.global_step]] = 0.0


class Ticking:
    """A clock that moves by what happens: a step takes a second."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Tick(Callback):
    """Lets time pass."""

    def __init__(self, clock: Ticking) -> None:
        self.clock = clock

    def on_train_batch_start(self, *_: Any) -> None:
        self.clock.now += 1.0


def loader(x: Tensor = X[:300], shuffle: bool = True) -> Any:
    return DataLoader(TensorDataset(x, torch.zeros(len(x))), batch_size=30, shuffle=shuffle)


def fit(
    callbacks: list[Callback],
    module: LightningModule | None = None,
    *,
    loggers: Any = False,
    validate: Any = None,
    batches: Any = None,
    **settings: Any,
) -> LightningModule:
    """Train for six epochs of ten steps."""
    seed_everything(0, verbose=False)
    module = module or Plain()
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    settings = {"max_epochs": 6, "accelerator": "cpu", "log_every_n_steps": 10, **quiet, **settings}
    trainer = Trainer(logger=loggers, callbacks=callbacks, **settings)
    trainer.fit(module, loader() if batches is None else batches, validate)
    return module


def monitor_of(*args: Any, **settings: Any) -> CollapseMonitor:
    """Return one for which no time passes, so that it looks every ten steps."""
    monitor = CollapseMonitor(*args, **{"every_n_steps": 10, **settings})
    monitor.clock = Ticking()
    return monitor


def kl_by_hand(module: Any, x: Tensor) -> Tensor:
    module.eval()
    with torch.no_grad():
        mean, log_variance = module.encode(x)
    return kl_divergence(Normal(mean.double(), (log_variance.double() / 2).exp()), Normal(0.0, 1.0)).mean(0)


def test_the_numbers_are_those_of_the_held_rows() -> None:
    kept, monitor = Kept(), monitor_of(ALL_LIVE, HELD)
    module = fit([monitor], loggers=[kept])
    kl = kl_by_hand(module, HELD)
    np.testing.assert_allclose(monitor.kl_per_unit, kl, rtol=1e-5)
    with torch.no_grad():
        variance = module.encode(HELD)[0].var(0, correction=0)
    assert isinstance(monitor.active_units, int)
    assert monitor.active_units == int((variance > 0.01).sum()) == UNITS
    assert [look["step"] for look in monitor.history] == [0, 10, 20, 30, 40, 50, 60]
    rows = {step: row for step, row in kept.rows if "collapse/kl" in row}
    assert list(rows) == [0, 10, 20, 30, 40, 50, 60]
    last = monitor.history[-1]
    for name in ("kl", "active_units", "distortion", "elbo"):
        assert rows[60][f"collapse/{name}"] == last[name]
    assert [rows[60][f"collapse/kl_per_unit/{unit}"] for unit in range(UNITS)] == monitor.kl_per_unit.tolist()
    assert last["kl"] == pytest.approx(float(kl.sum()), rel=1e-5)
    assert last["elbo"] == -(last["distortion"] + last["kl"])
    assert last["kl_weight"] == pytest.approx(0.1)


def test_the_distortion_is_that_of_the_likelihood() -> None:
    """Check it where the decoder knows the rows: -log p at the mean of a Gaussian of variance 1/2, of the loss."""
    monitor = monitor_of(
        ALL_LIVE, HELD, encode=lambda x: (torch.zeros(len(x), UNITS),) * 2, decode=lambda z: HELD[: len(z)] + 0.5
    )
    fit([monitor], max_epochs=1)
    expected = VALUES * (0.5**2 / (2 * 0.5) + 0.5 * np.log(2 * np.pi * 0.5))
    assert monitor.history[-1]["distortion"] == pytest.approx(expected, rel=1e-6)
    assert monitor.history[-1]["kl"] == 0


@pytest.mark.parametrize("gives", ["means", "logits"])
def test_a_learned_variance_is_judged_at_its_best(gives: Any) -> None:
    x = X / X.max()
    forecast = vl.forecast(x, "gaussian_optimal", latent_dim=UNITS)
    answer = torch.full((VALUES,), 0.3 if gives == "means" else -0.8)
    monitor = monitor_of(forecast, x[300:], decoder_gives=gives, decode=lambda z: answer.expand(len(z), VALUES))
    fit([monitor], max_epochs=1, batches=loader(x[:300]))
    mean = torch.sigmoid(answer) if gives == "logits" else answer
    error = float((x[300:] - mean).square().mean())
    assert monitor.history[-1]["distortion"] == pytest.approx(0.5 * VALUES * (np.log(2 * np.pi * error) + 1), rel=1e-5)


def test_without_a_forecast_the_code_alone_is_looked_at() -> None:
    kept, monitor = Kept(), monitor_of(x=HELD, encode=lambda x: Independent(Normal(x[:, :2], torch.ones(2)), 1))
    fit([monitor, Kill({10: 0})], loggers=[kept], max_epochs=2)
    assert monitor.kl_per_unit == pytest.approx(HELD[:, :2].square().mean(0).div(2).tolist(), rel=1e-5)
    assert monitor.died == {}
    named = {name for _, row in kept.rows for name in row if name.startswith("collapse/")}
    assert named == {"collapse/kl", "collapse/active_units", "collapse/kl_per_unit/0", "collapse/kl_per_unit/1"}


def test_of_spatial_codes_the_units_are_channels() -> None:
    def encode(x: Tensor) -> Any:
        mean = torch.stack([x[:, :4].reshape(-1, 2, 2), torch.zeros(len(x), 2, 2)], dim=1)
        return mean, torch.zeros_like(mean)

    forecast = vl.forecast(X, loss=vl.from_loss("mse_sum", weight=0.1), latent_dim=8)
    monitor = monitor_of(forecast, HELD, encode=encode, decode=lambda z: z.flatten(1))
    fit([monitor], max_epochs=1)
    assert monitor.active_units == 1
    np.testing.assert_allclose(monitor.kl_per_unit, [float(HELD[:, :4].square().sum(1).mean() / 2), 0], rtol=1e-5)


def test_many_units_have_no_curve_each() -> None:
    kept, monitor = Kept(), monitor_of(x=HELD, encode=lambda x: (torch.ones(len(x), 100), torch.zeros(len(x), 100)))
    fit([monitor], loggers=[kept], max_epochs=1)
    assert monitor.kl_per_unit.tolist() == [0.5] * 100
    curves = [name for name in kept.rows[0][1] if name.startswith("collapse/kl_per_unit/")]
    assert len(curves) == 64


@pytest.mark.parametrize("given", ["nothing", "rows", "the shuffled loader", "a drawing function"])
def test_the_training_is_the_same_to_the_last_bit(given: str) -> None:
    def batches() -> Any:
        drawn = torch.Generator().manual_seed(1)
        return DataLoader(TensorDataset(X[:300], torch.zeros(300)), batch_size=30, shuffle=True, generator=drawn)

    without, these = fit([], batches=batches(), validate=loader(HELD, shuffle=False)), batches()
    x = {"rows": HELD, "the shuffled loader": these}.get(given)
    encode = (lambda x: (torch.randn(len(x), UNITS),) * 2) if given == "a drawing function" else None
    monitor = monitor_of(ALL_LIVE, x, encode=encode)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        module = fit([monitor], batches=these, validate=loader(HELD, shuffle=False))
    assert len(monitor.history) == 7
    assert module.training == without.training
    for (name, one), other in zip(without.state_dict().items(), module.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


class Watching(Callback):
    """Notes in which mode each module is, before and after a look."""

    def __init__(self) -> None:
        self.modes: list[list[bool]] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self.modes.append([module.training for module in pl_module.modules()])


def test_a_frozen_part_stays_frozen() -> None:
    module = Plain()
    before, after = Watching(), Watching()
    module.decoder.eval()
    fit([before, monitor_of(x=HELD), after], module, max_epochs=1)
    assert before.modes == after.modes
    assert not any(module.training for module in module.decoder.modules())


def test_by_default_the_first_rows_that_are_validated_are_held() -> None:
    monitor = monitor_of(ALL_LIVE, n_rows=50)
    module = fit([monitor], validate=loader(HELD, shuffle=False))
    np.testing.assert_allclose(monitor.kl_per_unit, kl_by_hand(module, HELD[:50]), rtol=1e-5)


@pytest.mark.parametrize("n_rows", [60, 10_000])
def test_else_the_first_rows_that_are_trained_on(n_rows: int) -> None:
    monitor = monitor_of(ALL_LIVE, n_rows=n_rows)
    module = fit([monitor], batches=loader(shuffle=False))
    assert monitor.rows is not None
    assert len(monitor.rows.values) == (60 if n_rows == 60 else 300)
    np.testing.assert_allclose(monitor.kl_per_unit, kl_by_hand(module, X[: len(monitor.rows.values)]), rtol=1e-5)
    assert monitor.history[0]["step"] == (1 if n_rows == 60 else 10)


def told(monitor: CollapseMonitor, kill: dict[int, int], make: type[LightningModule] = Plain) -> int:
    """Return of how many deaths a training in which units are killed warns."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        seed_everything(0, verbose=False)
        fit([monitor, Kill(kill)], make())
    return sum(warning.category is CollapseWarning for warning in caught)


def test_a_unit_that_dies_is_told_of_once() -> None:
    monitor = monitor_of(ALL_LIVE, HELD)
    assert told(monitor, {25: 1}) == 1
    assert monitor.died == {1: 30}
    assert monitor.active_units == 2
    assert monitor.kl_per_unit[1] == 0


def test_units_that_die_together_are_told_of_together() -> None:
    monitor = monitor_of(ALL_LIVE, HELD)
    assert told(monitor, {25: 1, 26: 2}) == 1
    assert monitor.died == {1: 30, 2: 30}


def test_an_end_with_far_fewer_units_than_could_live_is_told_of() -> None:
    """Dead from before the first look, none of them is seen to die."""

    class Blind(Plain):
        def encode(self, x: Tensor) -> Any:
            mean, log_variance = super().encode(x)
            return 0 * mean, log_variance

    monitor = monitor_of(ALL_LIVE, HELD)
    assert told(monitor, {}, Blind) == 1
    assert (monitor.died, monitor.active_units) == ({}, 0)
    assert told(monitor_of(NONE_LIVES, HELD), {}, Blind) == 0


def test_each_unit_is_told_of_and_again_in_the_next_training() -> None:
    monitor = monitor_of(ALL_LIVE, HELD)
    assert [told(monitor, {25: 1, 45: 0}), told(monitor, {35: 2})] == [2, 1]
    assert monitor.died == {2: 40}


def test_a_death_that_the_forecast_foretells_is_not_told_of() -> None:
    monitor = monitor_of(NONE_LIVES, HELD)
    assert told(monitor, {25: 1}) == 0
    assert monitor.active_units == 2


@pytest.mark.parametrize(("weight", "n_told"), [(0.1, 1), (1000.0, 0)])
def test_deaths_are_judged_at_the_weight_in_force(weight: float, n_told: int) -> None:
    """Check it in the loss's own terms: of errors averaged over values a weight is so many times as large."""

    class Warming(Plain):
        @property
        def in_force(self) -> float:
            return 0.0 if self.global_step < 20 else weight / VALUES

    several = vl.forecast(X, loss=vl.from_loss("mse_mean", weight=[0.1, 1.0]), latent_dim=UNITS)
    monitor = monitor_of(several, HELD, kl_weight=lambda module: module.in_force)
    assert told(monitor, {25: 1}, Warming) == n_told
    assert [look["kl_weight"] for look in monitor.history] == pytest.approx([0, 0, *[weight] * 5])


@pytest.mark.parametrize(("cost", "looks"), [(0.0, [0, 10, 20, 30, 40, 50, 60]), (2.0, [0, 58, 60]), (50.0, [0, 60])])
def test_looks_take_no_more_of_the_time_than_they_may(cost: float, looks: list[int]) -> None:
    """Check it at a tenth of the time, a step taking a second: of 60 s three looks may take 2 s each, the last too."""
    clock = Ticking()
    module = Plain()

    def slowly(x: Tensor) -> Any:
        clock.now += cost
        return module.encode(x)

    monitor = CollapseMonitor(x=HELD, encode=slowly, every_n_steps=10, most_time=0.1)
    monitor.clock = clock
    fit([monitor, Tick(clock)], module)
    assert [look["step"] for look in monitor.history] == looks


def test_optimiser_steps_are_counted_not_batches() -> None:
    monitor = monitor_of(x=HELD)
    fit([monitor], accumulate_grad_batches=2)
    assert [look["step"] for look in monitor.history] == [0, 10, 20, 30]


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_it_feeds_the_module_as_the_trainers_precision_does(precision: Any) -> None:
    x = {"64-true": X.double(), "bf16-true": X.bfloat16()}.get(precision, X)
    monitor = monitor_of(ALL_LIVE, HELD)
    fit([monitor], precision=precision, max_epochs=1, batches=loader(x[:300]))
    assert len(monitor.history) == 2
    assert np.isfinite(monitor.history[-1]["elbo"])
    assert torch.get_default_dtype() is torch.float32


def test_a_training_that_leaves_the_numbers_goes_on_and_is_told_of_once() -> None:
    class Spoil(Callback):
        def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
            if trainer.global_step == 25:
                pl_module.alive[0] = float("nan")

    monitor = monitor_of(ALL_LIVE, HELD)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit([monitor, Spoil()])
    assert [look["step"] for look in monitor.history] == [0, 10, 20]
    assert sum("CollapseMonitor" in str(warning.message) for warning in caught) == 1


def test_every_logger_is_given_the_numbers(tmp_path: Path) -> None:
    board, kept = TensorBoardLogger(), Kept()
    monitor = monitor_of(ALL_LIVE, HELD)
    csv_logger = CSVLogger(tmp_path)
    fit([monitor], loggers=[csv_logger, board, kept])
    with (Path(csv_logger.log_dir) / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["collapse/kl"]]
    assert [int(row["step"]) for row in rows] == [look["step"] for look in monitor.history]
    assert float(rows[-1]["collapse/kl_per_unit/2"]) == monitor.kl_per_unit[2]
    histograms = [(step, row["collapse/kl_per_unit"]) for step, row in board.rows if "collapse/kl_per_unit" in row]
    assert [step for step, _ in histograms] == [look["step"] for look in monitor.history]
    assert histograms[-1][1].tolist() == monitor.kl_per_unit.tolist()
    assert all("collapse/kl_per_unit" not in row for _, row in kept.rows)


def test_tensorboard_itself_takes_them(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from lightning.pytorch.loggers import TensorBoardLogger as Real
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = Real(tmp_path)
    fit([monitor_of(x=HELD)], loggers=[logger])
    found = EventAccumulator(logger.log_dir)
    found.Reload()
    assert [each.step for each in found.Histograms("collapse/kl_per_unit")] == [0, 10, 20, 30, 40, 50, 60]


@pytest.mark.slow
def test_wandb_gets_a_histogram_and_loses_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    monitor = monitor_of(ALL_LIVE, HELD)
    logger = WandbLogger(save_dir=tmp_path, offline=True, prefix="mine")
    fit([monitor], loggers=[logger])
    logger.experiment.finish()
    [folder] = (tmp_path / "wandb").glob("offline-run-*")
    command = [Path(sys.executable).parent / "wandb", "leet", "inspect", "--json", folder]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    rows = [record["history"]["item"] for record in map(json.loads, shown) if record["type"] == "history"]
    looks = [row for row in rows if "mine-collapse/kl" in row]
    assert [row["trainer/global_step"] for row in looks] == [0, 10, 20, 30, 40, 50, 60]
    assert [row["_step"] for row in rows] == list(range(len(rows)))
    for row in looks:
        assert sum(row["mine-collapse/kl_per_unit.values"]) == UNITS


def test_another_rank_looks_at_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer, "is_global_zero", property(lambda _: False))
    monitor = monitor_of(ALL_LIVE)
    fit([monitor], validate=loader(HELD, shuffle=False), max_epochs=1)
    assert (monitor.history, monitor.seen) == ([], [])


BAD_ARGUMENTS: dict[str, tuple[Callable[[], Any], Code, str]] = {
    "every": (lambda: CollapseMonitor(every_n_steps=0), Code.INVALID, "every_n_steps"),
    "rows": (lambda: CollapseMonitor(n_rows=1), Code.INVALID, "n_rows"),
    "no time": (lambda: CollapseMonitor(most_time=0.0), Code.INVALID, "most_time"),
    "too much time": (lambda: CollapseMonitor(most_time=1.5), Code.INVALID, "most_time"),
    "time that is none": (lambda: CollapseMonitor(most_time=float("nan")), Code.INVALID, "most_time"),
    "weight without forecast": (lambda: CollapseMonitor(kl_weight=lambda _: 1.0), Code.INCOMPATIBLE, "kl_weight"),
    "several weights": (lambda: CollapseMonitor(vl.forecast(X, "gaussian", [1.0, 2.0])), Code.INVALID, "kl_weight"),
    "nan in the rows": (lambda: CollapseMonitor(x=torch.full((9, 4), float("nan"))), Code.NOT_FINITE, "x"),
    "labels": (lambda: CollapseMonitor(x=torch.arange(9)), Code.INVALID, "x"),
    "other rows": (lambda: CollapseMonitor(ALL_LIVE, torch.rand(9, 5)), Code.INCOMPATIBLE, "x"),
    "rows of another range": (
        lambda: CollapseMonitor(vl.forecast(X / 10, "bernoulli"), X), Code.INCOMPATIBLE, "x"
    ),
    "no look yet": (lambda: CollapseMonitor().kl_per_unit, Code.NOT_FOUND, "CollapseMonitor"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "code", "about"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS.keys())
def test_a_wrong_argument_is_told_of_at_once(make: Callable[[], Any], code: Code, about: str) -> None:
    with pytest.raises(UserError) as caught:
        make()
    assert caught.value.code is code
    assert caught.value.about[0] == about


class Bare(Plain):
    """It has neither encode nor decode."""

    encode = decode = None  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        del self.encoder, self.decoder
        self.layer = nn.Linear(VALUES, VALUES)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        raise AssertionError("the training has begun")


def bernoulli() -> vl.DataForecast:
    return vl.forecast(X / 10, "bernoulli", latent_dim=UNITS)


BAD_MODULES: dict[str, tuple[Callable[[], CollapseMonitor], Code, str]] = {
    "nothing to call": (lambda: CollapseMonitor(x=HELD), Code.INVALID, "model"),
    "no posterior": (lambda: CollapseMonitor(x=HELD, encode=lambda x: x), Code.INVALID, "encode"),
    "another shape of rows": (lambda: CollapseMonitor(x=HELD, encode=nn.Linear(3, 3)), Code.INCOMPATIBLE, "encode"),
    "another number of units": (
        lambda: CollapseMonitor(ALL_LIVE, HELD, encode=lambda x: (x, x), decode=lambda z: z),
        Code.INCOMPATIBLE, "latent_dim",
    ),
    "another number of values": (
        lambda: CollapseMonitor(ALL_LIVE, HELD, encode=lambda x: (x[:, :UNITS],) * 2, decode=lambda z: z),
        Code.INCOMPATIBLE, "decode",
    ),
    "logits for means": (
        lambda: CollapseMonitor(bernoulli(), HELD / 10, encode=lambda x: (x[:, :UNITS],) * 2,
                                decode=lambda z: torch.full((len(z), VALUES), -3.0)),
        Code.INVALID, "decoder_gives",
    ),
    "a weight below 0": (
        lambda: CollapseMonitor(ALL_LIVE, HELD, encode=lambda x: (x[:, :UNITS],) * 2,
                                decode=lambda z: z.new_zeros(len(z), VALUES), kl_weight=lambda _: -1.0),
        Code.INVALID, "kl_weight",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "code", "about"), BAD_MODULES.values(), ids=BAD_MODULES.keys())
def test_a_module_that_cannot_be_read_is_told_of_before_the_training(
    make: Callable[[], CollapseMonitor], code: Code, about: str
) -> None:
    with pytest.raises(UserError) as caught:
        fit([make()], Bare())
    assert (caught.value.code, caught.value.about) == (code, (about,))


def test_a_batch_that_tells_no_rows_is_an_error() -> None:
    with pytest.raises(UserError) as caught:
        fit([monitor_of()], batches=[{"text": X[:30]}])
    assert (caught.value.code, caught.value.about) == (Code.INVALID, ("x",))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_it_works_in_a_trainer_of_the_other_package() -> None:
    """Check it with ``pytorch_lightning``, the same code under another name."""
    other = pytest.importorskip("pytorch_lightning")

    class Theirs(Vae, other.LightningModule):  # type: ignore[misc]
        """Of ``pytorch_lightning``."""

    monitor = monitor_of(ALL_LIVE, HELD)
    trainer = other.Trainer(
        max_epochs=1, callbacks=[monitor], logger=False, accelerator="cpu", enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Theirs(), loader())
    assert monitor.history[-1]["step"] == 10
