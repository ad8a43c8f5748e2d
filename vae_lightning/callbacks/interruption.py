"""Ctrl-C at a known place: between two batches."""

import signal
import threading
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, Trainer


class Interruption(Callback):
    """Lets the batch in hand end before a Ctrl-C stops the training; a second Ctrl-C stops at once.

    Python raises KeyboardInterrupt wherever it happens to be. In a finaliser it is printed and dropped, and the
    training goes on; in a callback from C++ it becomes another error.
    """

    def __init__(self) -> None:
        self.asked = False

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            self.previous = signal.signal(signal.SIGINT, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, self.previous)

    def on_train_batch_end(self, *_: Any) -> None:
        self._stop_if_asked()

    def on_validation_batch_end(self, *_: Any) -> None:
        self._stop_if_asked()

    def _stop_if_asked(self) -> None:
        if self.asked:
            raise KeyboardInterrupt

    def on_fit_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._hand_back()

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        self._hand_back()

    def _hand_back(self) -> None:
        if signal.getsignal(signal.SIGINT) == self._ask:
            signal.signal(signal.SIGINT, self.previous)
