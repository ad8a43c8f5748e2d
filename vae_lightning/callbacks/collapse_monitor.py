"""Watches the latent units while anyone's LightningModule trains, and says when one dies that the data let live."""

import time
import warnings
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch import Callback

from vae_lightning.callbacks.collapse_look import Floats, Look, Reader, log_look
from vae_lightning.callbacks.collapse_rows import values_of_batch
from vae_lightning.callbacks.collapse_subject import Subject, WeightInForce
from vae_lightning.errors import Code, UserError
from vae_lightning.library.data_forecast import DataForecast
from vae_lightning.library.likelihoods import DecoderGives
from vae_lightning.library.models import Decode, Encode
from vae_lightning.library.rows import Rows
from vae_lightning.spelling import did_you_mean

SHARDED = ("FSDPStrategy", "ModelParallelStrategy", "DeepSpeedStrategy")
"""Strategies under which no single process has the weights."""
FAR_FEWER = 0.5
"""Share of the units that could live: with less of them something is wrong, and no mere packing of directions."""
REMEDY = "vl.diagnose says whether the loss is the one that was told, and whether it harms"


class CollapseWarning(UserWarning):
    """Tells of a unit that died although the data would let it live."""


class CollapseMonitor(Callback):
    """Logs KL per unit, active units, rate and distortion of held rows while anyone's LightningModule trains.

    To every logger of the Trainer: ``collapse/kl``, ``collapse/active_units``, ``collapse/kl_per_unit/0`` and on (of
    at most 64 units), with a forecast ``collapse/distortion`` and ``collapse/elbo``, all in nats per row; to W&B and
    TensorBoard the histogram ``collapse/kl_per_unit`` too. Of spatial codes the units are the channels. With a forecast
    units that die, though the data let more live than are left at the KL weight in force, are told of once by a
    :class:`CollapseWarning`, and so is an end at which less than half of them live. The training is the same to the
    last bit as without the monitor. Trainer and module may be of ``lightning.pytorch`` or of ``pytorch_lightning``.

    Args:
        forecast: by :func:`vae_lightning.forecast`: it has the likelihood, the KL weight, and how many units can live.
            None: KL and active units only, and no warning.
        x: rows as ``encode`` takes them: an array, a tensor, a Dataset, a DataLoader. None: the first rows that the
            Trainer validates before the training starts (its sanity check), else the first that it trains on.
        encode: as :func:`vae_lightning.diagnose` takes it. None: the LightningModule's own.
        decode: the same.
        decoder_gives: ``"means"``, ``"logits"`` or ``"parameters"``.
        kl_weight: where the weight changes, as in a warm-up: takes the LightningModule and returns the weight in force,
            as your loss writes it where the forecast was made with ``loss=``, else in nats. None: the forecast's.
        every_n_steps: steps between two looks, at least; one more is taken at the start, and one at the end.
        n_rows: how many rows are looked at, at most.
        most_time: share of the training time that looks may take; the first and the last one are always taken.

    Raises:
        UserError: an argument is wrong; when the fit starts: the module has no encode and decode, or gives what cannot
            be read.

    Example:
        >>> import torch, vae_lightning as vl
        >>> from lightning.pytorch import LightningModule, Trainer
        >>> class Mine(LightningModule):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.encoder, self.decoder = torch.nn.Linear(6, 4), torch.nn.Linear(2, 6)
        ...     def encode(self, x): return self.encoder(x).chunk(2, dim=1)
        ...     def decode(self, z): return self.decoder(z)
        ...     def configure_optimizers(self): return torch.optim.Adam(self.parameters(), lr=0.02)
        ...     def training_step(self, x, _):
        ...         mean, log_variance = self.encode(x)
        ...         z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        ...         kl = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1)
        ...         return ((self.decode(z) - x) ** 2).sum(1).mean() + 100 * kl.mean()
        >>> x = torch.randn(1000, 6, generator=torch.Generator().manual_seed(0))
        >>> monitor = vl.CollapseMonitor(vl.forecast(x, loss=vl.from_loss("mse_sum", weight=100), latent_dim=2), x)
        >>> trainer = Trainer(max_epochs=20, callbacks=[monitor], logger=False, enable_checkpointing=False,
        ...                   enable_progress_bar=False, enable_model_summary=False, accelerator="cpu")
        >>> trainer.fit(Mine(), torch.utils.data.DataLoader(x, batch_size=100))
        >>> monitor.active_units, monitor.kl_per_unit.round(1), monitor.history[-1]["step"]
        (0, array([0., 0.]), 200)
    """

    def __init__(
        self,
        forecast: DataForecast | None = None,
        x: Any = None,
        *,
        encode: Encode | None = None,
        decode: Decode | None = None,
        decoder_gives: DecoderGives = "means",
        kl_weight: WeightInForce | None = None,
        every_n_steps: int = 50,
        n_rows: int = 512,
        most_time: float = 0.01,
    ) -> None:
        _check_forecast(forecast, kl_weight)
        _check_number("every_n_steps", every_n_steps, isinstance(every_n_steps, int) and every_n_steps >= 1, "1 on")
        _check_number("n_rows", n_rows, isinstance(n_rows, int) and n_rows >= 2, "2 on")
        _check_number("most_time", most_time, 0 < most_time <= 1, "above 0 up to 1")
        _check_functions(encode=encode, decode=decode, kl_weight=kl_weight)
        if decoder_gives not in get_args(DecoderGives):
            hint = did_you_mean(str(decoder_gives), get_args(DecoderGives))
            raise UserError(f"decoder_gives={decoder_gives!r}: {hint}", Code.INVALID, ["decoder_gives"])
        reader = None if forecast is None else Reader.of(forecast, decoder_gives)
        self.subject = Subject(forecast, reader, encode, decode, kl_weight)
        self.every_n_steps, self.n_rows, self.most_time = every_n_steps, n_rows, most_time
        self.clock: Callable[[], float] = time.perf_counter
        self.given = None if x is None else self.subject.rows(x, n_rows)
        self._start_over()

    def _start_over(self) -> None:
        self.history: list[dict[str, Any]] = []
        """What every look found: ``step``, ``kl``, ``active_units``, ``kl_per_unit``, and what else is known."""
        self.died: dict[int, int] = {}
        """Units that were told of, and the step by which each was found dead."""
        self.rows: Rows | None = self.given
        self.seen: list[torch.Tensor] = []
        self.active_before: npt.NDArray[np.bool_] | None = None
        self.judged: tuple[Look, int, float] | None = None
        self.spent = self.cost = 0.0
        self.looked_at = -1
        self.has_failed = False

    @property
    def kl_per_unit(self) -> Floats:
        """KL of each unit in nats per row, at the last look. Raises UserError before the first."""
        found: Floats = self._last["kl_per_unit"]
        return found

    @property
    def active_units(self) -> int:
        """How many units' posterior means varied by more than 0.01 over the rows, at the last look. Raises UserError
        before the first."""
        return int(self._last["active_units"])

    @property
    def _last(self) -> dict[str, Any]:
        if not self.history:
            raise UserError("CollapseMonitor: no training has been looked at yet", Code.NOT_FOUND, ["CollapseMonitor"])
        return self.history[-1]

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        self._start_over()
        self.subject.functions_of(pl_module)
        strategy = type(trainer.strategy).__name__
        if strategy in SHARDED:
            message = f"CollapseMonitor: under {strategy} no process has all weights, so that none can look at them"
            raise UserError(message, Code.INCOMPATIBLE, ["strategy"])

    def on_validation_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if trainer.sanity_checking and dataloader_idx == 0:
            self._gather(trainer, batch)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self.started = self.clock()
        self._first_look(trainer, pl_module)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if self.rows is not None:
            return
        if waits := trainer.global_step < self.every_n_steps:
            self._gather(trainer, batch)
        if not waits or sum(map(len, self.seen)) >= self.n_rows:
            self._first_look(trainer, pl_module)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.looked_at < 0 or trainer.global_step - self.looked_at < self.every_n_steps:
            return
        # The time of two looks must be left: of this one, and of the last.
        if self.spent + 2 * self.cost <= self.most_time * (self.clock() - self.started):
            self._look(trainer, pl_module)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self._first_look(trainer, pl_module)
        if 0 <= self.looked_at < trainer.global_step:
            self._look(trainer, pl_module)
        if self.judged is not None:
            self._tell_end(*self.judged)

    def _gather(self, trainer: Any, batch: Any) -> None:
        """Keep a batch that passes by: taking one from a loader would draw from its random numbers."""
        if trainer.is_global_zero and self.rows is None and sum(map(len, self.seen)) < self.n_rows:
            self.seen.append(values_of_batch(batch))

    def _first_look(self, trainer: Any, module: Any) -> None:
        """Look for the first time, once there are rows. What is wrong with arguments or module is told now."""
        if not trainer.is_global_zero or self.looked_at >= 0:
            return
        if self.rows is None and self.seen:
            self.rows = self.subject.rows(torch.cat(self.seen)[: self.n_rows], self.n_rows)
        if self.rows is not None:
            self._look(trainer, module)

    def _look(self, trainer: Any, module: Any) -> None:
        """Look, log and warn, and note how long it took. After the first look no fault ends the training."""
        assert self.rows is not None  # noqa: S101 (so it is called)
        began, step, subject = self.clock(), trainer.global_step, self.subject
        try:
            look = subject.look(module, trainer.precision_plugin, self.rows, check=self.looked_at < 0)
            kl_weight = None if subject.forecast is None else subject.judged_at(module, subject.forecast)
        except UserError as error:
            if self.looked_at < 0:
                raise
            if not self.has_failed:
                warnings.warn(f"CollapseMonitor: nothing to be seen at step {step}: {error}", stacklevel=2)
            self.has_failed = True
        else:
            known = {} if kl_weight is None else {"kl_weight": kl_weight}
            self.history.append({"step": step, **look.scalars(), **known, "kl_per_unit": look.kl_per_unit})
            log_look(trainer.loggers, look, step)
            if subject.forecast is not None and kl_weight is not None:
                let_live = subject.forecast.found.active_units(kl_weight)
                self._tell_deaths(look, let_live, kl_weight, step)
                self.judged = look, let_live, kl_weight
        self.looked_at, self.cost = step, self.clock() - began
        self.spent += self.cost

    def _tell_deaths(self, look: Look, let_live: int, kl_weight: float, step: int) -> None:
        """Warn of each unit that was active at the last look and is not now, if the data let more live than do."""
        active, before = look.active, self.active_before
        self.active_before = active
        n_active, n_units = int(active.sum()), len(active)
        let_live = min(let_live, n_units)
        if before is None or let_live <= n_active:
            return
        new = [unit for unit in (before & ~active).nonzero()[0].tolist() if unit not in self.died]
        self.died |= dict.fromkeys(new, step)
        if new:
            names = ", ".join(map(str, new))
            died = f"unit{'' if len(new) == 1 else 's'} {names} died by step {step}"
            kl = f" (KL {float(look.kl_per_unit[new].sum()):.2g} nats)"
            self._warn(died + kl, n_active, n_units, let_live, kl_weight)

    def _tell_end(self, look: Look, let_live: int, kl_weight: float) -> None:
        """Warn at the end of a training in which far fewer units live than could, though none was seen to die."""
        n_active, n_units = int(look.active.sum()), len(look.active)
        if not self.died and n_active < FAR_FEWER * min(let_live, n_units):
            self._warn("at the end of the training", n_active, n_units, min(let_live, n_units), kl_weight)

    @staticmethod
    def _warn(what: str, n_active: int, n_units: int, let_live: int, kl_weight: float) -> None:
        told = f"{n_active} of {n_units} units are active, and these data let {let_live} live"
        message = f"{what}: {told} at a kl_weight of {kl_weight:.4g}; {REMEDY}"
        warnings.warn(message, CollapseWarning, stacklevel=2)


def _check_forecast(forecast: DataForecast | None, kl_weight: WeightInForce | None) -> None:
    if forecast is None and kl_weight is not None:
        raise UserError("kl_weight: nothing is judged by it without a forecast", Code.INCOMPATIBLE, ["kl_weight"])
    if not (forecast is None or isinstance(forecast, DataForecast)):
        message = f"forecast: a {type(forecast).__name__}; must be what vl.forecast(...) returns; rows are given by x="
        raise UserError(message, Code.INVALID, ["forecast"])
    if forecast is not None and kl_weight is None and forecast.kl_weight.size != 1:
        message = f"kl_weight: the forecast is at {forecast.kl_weight.size} of them; make it at the one of your loss"
        raise UserError(f"{message}, or give kl_weight= a function of the module", Code.INVALID, ["kl_weight"])


def _check_functions(**functions: Any) -> None:
    for name, function in functions.items():
        if not (function is None or callable(function)):
            raise UserError(f"{name}: a {type(function).__name__}; must be a function", Code.INVALID, [name])


def _check_number(name: str, value: Any, is_valid: bool, valid: str) -> None:
    if isinstance(value, bool) or not is_valid:
        raise UserError(f"{name}={value!r}: must be a number from {valid}", Code.INVALID, [name])
