"""How a LightningModule takes its steps: several in one call of Lightning's, each as cheap as a plain loop's."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

from jaxtyping import Float
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from vae_lightning.data import Batch

AROUND_A_STEP = ("on_before_backward", "on_after_backward", "on_before_optimizer_step")
"""Hooks that Lightning calls in each step."""


class StepwiseModule(LightningModule):
    """Lightning hands over a chunk of batches at a time; a step is taken for each of them.

    A callback that has ``on_step_end(trainer, module)`` is called after each step.
    """

    lr_scheduler: LRScheduler | None = None
    """Stepped after each step; None where the learning rate stays."""

    def __init__(self, *, gradient_clip_val: float | None) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.gradient_clip_val = gradient_clip_val

    @abstractmethod
    def training_loss(self, batch: Batch) -> Float[Tensor, ""]:
        """Return what is minimised of a batch, with its graph."""

    def on_train_start(self) -> None:
        callbacks = self.trainer.callbacks  # type: ignore[attr-defined]
        self._on_step_end = [callback.on_step_end for callback in callbacks if hasattr(callback, "on_step_end")]
        # Lightning's way back and its step serve ranks, gradient scalers and hooks; for a small model the two cost a
        # seventh of the step.
        heard = any(is_overridden(hook, callback, parent=Callback) for hook in AROUND_A_STEP for callback in callbacks)
        own = any(is_overridden(hook, self, parent=StepwiseModule) for hook in (*AROUND_A_STEP, "backward"))
        plain = self.trainer.world_size == 1 and self.trainer.precision == "32-true" and not heard and not own
        self._backward: Callable[[Tensor], None] = Tensor.backward if plain else self.manual_backward
        self._step: Callable[[], None] = self._step_plainly if plain else self._step_by_lightning

    def training_step(self, chunk: Iterator[Batch], chunk_index: int) -> None:
        for index, batch in enumerate(chunk):
            if index:
                self._end_step()
            self._take_step(batch)

    def on_train_batch_end(self, *_: Any) -> None:
        self._end_step()  # the last of the chunk: what is saved here, Lightning continues at the next one

    def _end_step(self) -> None:
        for on_step_end in self._on_step_end:
            on_step_end(self.trainer, self)

    def _take_step(self, batch: Batch) -> None:
        loss = self.training_loss(batch)
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
            for parameter in group["params"]:
                parameter.grad = None  # zero_grad does this, and much beside
        self._backward(loss)
        self._step()
        if self.lr_scheduler:
            self.lr_scheduler.step()

    def _step_by_lightning(self) -> None:
        self.optimizers().step()  # type: ignore[union-attr]

    def _step_plainly(self) -> None:
        optimizer: Any = self.optimizers()
        optimizer._on_before_step()  # counts the step, as what is left out would do
        self.on_before_optimizer_step(optimizer.optimizer)
        optimizer.optimizer.step()
        optimizer._on_after_step()

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        if self.gradient_clip_val is not None:  # by now a gradient scaler has taken its factor off
            self.clip_gradients(optimizer, self.gradient_clip_val, "norm")
