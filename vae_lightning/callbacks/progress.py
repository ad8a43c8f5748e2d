"""Progress of a training: a bar with ELBO, KL and active units, and one line per epoch that stays."""

import time
from collections.abc import Callable
from typing import Any

from lightning.pytorch import Callback, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vae_lightning.module import VAE
from vae_lightning.terminal import print_line

REFRESH_S = 0.5


class EpochProgress(Callback):
    """A callback that draws a rich bar on a terminal; elsewhere it prints one plain line per epoch.

    The bar moves at most twice a second, and has no thread of its own that would take time from the training.
    Lightning's RichProgressBar has such a thread, and makes the process's console its own.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.perf_counter) -> None:
        self.console = console
        self.clock = clock
        self.progress: Progress | None = None

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.started = self.drawn = self.clock()
        if not trainer.is_global_zero or not self.console.is_terminal:
            return
        name, terms = TextColumn("{task.description}"), TextColumn("{task.fields[terms]}")
        columns = (name, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), terms)
        self.progress = Progress(*columns, console=self.console, transient=True, auto_refresh=False)
        self.progress.start()
        self.task = self.progress.add_task("", total=None, terms="")
        self.on_train_epoch_start(trainer, pl_module)  # an epoch that is continued in its middle has no start

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.started = self.drawn = self.clock()
        if self.progress:
            name = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self.progress.reset(self.task, total=pl_module.steps_per_epoch, description=name)

    def on_step_end(self, trainer: Trainer, pl_module: VAE) -> None:
        if self.progress is None or self.clock() - self.drawn < REFRESH_S:
            return
        self.drawn = self.clock()
        values = pl_module.latest
        active = next((value for name, value in values.items() if name.endswith("/active_units")), None)
        terms = f"ELBO {values['train/elbo']:.1f}  KL {values['train/kl']:.2f}  " if "train/elbo" in values else ""
        terms += "" if active is None else f"active {active:.0f}"
        completed = (trainer.global_step - 1) % pl_module.steps_per_epoch + 1
        self.progress.update(self.task, completed=completed, terms=terms, refresh=True)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: VAE) -> None:  # type: ignore[override]
        if not trainer.is_global_zero or pl_module.evaluation is None:
            return
        found = pl_module.evaluation.scalars()
        split = pl_module.data.curve_split
        seconds = self.clock() - self.started
        active = f"active units {found['active_units']}/{pl_module.latent_dim}"
        epoch = f"epoch {trainer.current_epoch + 1:>3}/{trainer.max_epochs}"
        terms = f"{split} ELBO {found['elbo']:8.2f}  KL {found['kl']:6.2f}  {active}"
        print_line(self.console, f"{epoch}  {terms}  {seconds:5.1f} s")

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        if self.progress:
            self.progress.stop()
            self.progress = None

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        self.on_train_end(trainer, pl_module)
