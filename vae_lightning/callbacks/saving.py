"""When a run is saved: after each epoch, every n steps if asked for, and before it stops at a signal."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint

from vae_lightning.callbacks.interruption import Interruption
from vae_lightning.data import BATCHES_AT_ONCE
from vae_lightning.errors import Code, Interrupted, UserError
from vae_lightning.module import VAE
from vae_lightning.runs.checkpoints import THREADS, checkpoint_path, remove_all_but_the_newest
from vae_lightning.runs.curves import CURVE_LINES, durable_lines


class Saving(Checkpoint):
    """Writes checkpoints from which the run goes on as if nothing had happened.

    Lightning's ModelCheckpoint saves either by epochs or by steps, keeps the last of each apart, and saves the last
    batch of an epoch without the held-out images after it, which a continued run would then leave out.
    """

    def __init__(self, run_directory: Path, every_n_steps: int | None, interruption: Interruption) -> None:
        self.run_directory = run_directory
        self.every_n_steps = every_n_steps
        self.interruption = interruption

    def on_step_end(self, trainer: Trainer, pl_module: VAE) -> None:
        if trainer.global_step % pl_module.steps_per_epoch == 0:
            return  # saved, and stopped if asked, after the held-out images
        # Several ranks have to ask each other, which takes its time.
        asks = trainer.world_size == 1 or trainer.global_step % BATCHES_AT_ONCE == 0
        asked = self.interruption.asked_on_any_rank() if asks else 0
        if asked or (self.every_n_steps and trainer.global_step % self.every_n_steps == 0):
            self._save(trainer)
        if asked:
            raise Interrupted(asked)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._save(trainer)
        if asked := self.interruption.asked_on_any_rank():
            raise Interrupted(asked)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint[THREADS] = torch.get_num_threads()
        checkpoint[CURVE_LINES] = durable_lines(self.run_directory) if trainer.is_global_zero else 0

    def _save(self, trainer: Trainer) -> None:
        path = checkpoint_path(self.run_directory, trainer.global_step)
        try:
            trainer.save_checkpoint(path)
        except OSError as error:
            again = "the same command continues from the last good checkpoint"
            message = f"{path}: cannot be saved ({error.strerror or error}); once it can, {again}"
            raise UserError(message, Code.CANNOT_WRITE, [path]) from error
        if trainer.is_global_zero:
            remove_all_but_the_newest(self.run_directory)
