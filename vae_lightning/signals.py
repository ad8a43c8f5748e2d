"""The signals at which work is saved and stopped, and how a process handles or delays them."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
"""Ctrl-C, the end announced by a batch system or container host, SLURM's ``--signal=USR1@90``, a closed terminal."""
REPEAT_S = 0.5
"""A second signal within this time counts as the first one: launchers and terminals often send two."""

Handler = Callable[[int, FrameType | None], None]


def set_handlers(handler: Handler) -> dict[int, Any]:
    """Install a handler for all signals but those that are ignored; return the handlers that were there before."""
    handled = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in handled}


def restore_handlers(previous: dict[int, Any]) -> None:
    for number, handler in previous.items():
        signal.signal(number, handler)


@contextlib.contextmanager
def signals_blocked() -> Iterator[None]:
    """Delay the signals until the block is over; a process that is started inside it keeps them blocked."""
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
