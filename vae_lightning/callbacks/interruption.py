"""Ctrl-C, SIGTERM, SIGUSR1 and SIGHUP at a known place: between two batches."""

import os
import signal
import threading
import time
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import distributed

from vae_lightning.signals import REPEAT_S, restore_handlers, set_handlers


class Interruption(Callback):
    """Notes a signal, so that the batch in hand can end and be saved; a second one acts at once.

    Left to itself Python raises KeyboardInterrupt wherever it happens to be: in a finaliser it is printed and dropped,
    and the training goes on; in a callback from C++ it becomes another error. SIGTERM, by which batch systems and
    container hosts announce the end, would simply kill.
    """

    def __init__(self) -> None:
        self.asked = 0
        """The signal's number; 0 as long as none has come."""
        self.asked_at = 0.0
        self.previous: dict[int, Any] = {}
        self.terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.ranks: Any = distributed.new_group(backend="gloo") if trainer.world_size > 1 else None
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            # After Lightning has set its own for SIGTERM, which goes on to the end of the epoch.
            self.previous = set_handlers(self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self._leave_closed_terminals()
        if self.asked and number == signal.SIGUSR1:
            self.asked = number  # a batch system's second word, after SIGTERM, is that it will run this again
        elif self.asked and time.monotonic() - self.asked_at > REPEAT_S:
            self._hand_back()
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
            signal.raise_signal(number)
        elif not self.asked:
            self.asked, self.asked_at = number, time.monotonic()

    def _leave_closed_terminals(self) -> None:
        """Discard what is still printed, where a terminal is gone: an error there would come before the saving."""
        for descriptor in self.terminals:
            if not os.isatty(descriptor):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, descriptor)
                os.close(null)

    def asked_on_any_rank(self) -> int:
        """Return the number of a signal that has come to this process or to another rank, or 0. All ranks must ask."""
        if self.ranks is None:
            return self.asked
        asked = torch.tensor(self.asked)
        distributed.all_reduce(asked, distributed.ReduceOp.MAX, group=self.ranks)
        return int(asked)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._hand_back()

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        self._hand_back()

    def _hand_back(self) -> None:
        restore_handlers(self.previous)
        self.previous = {}
