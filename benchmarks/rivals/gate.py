"""The end of a pipe in a process that is timed: it waits for its turn, and answers how long that took.

So one process at a time works, in stretches that alternate with those of its rivals.
"""

import os
import time
from multiprocessing.connection import Connection

VARIABLE = "BENCHMARK_GATE"
"""The environment variable with the number of the pipe."""
TRAINING = "training"
"""The part of a stretch that all rivals have: a pass over the training images."""


class Gate:
    """Where a rival stops after each stretch. Waiting raises EOFError once the benchmark has enough."""

    def __init__(self) -> None:
        descriptor = int(os.environ[VARIABLE])
        os.set_inheritable(descriptor, False)  # a process that this one starts would keep the pipe open
        self.connection: Connection[object, object] = Connection(descriptor)
        self.seconds: dict[str, float] = {}

    def wait(self) -> None:
        """Answer what the last stretch took, wait for the next turn, and start the clock."""
        self.connection.send(self.seconds)
        self.connection.recv()
        self.seconds = {}
        self.started = time.perf_counter()

    def note(self, part: str = TRAINING) -> None:
        """Note the seconds since the clock was started as those of a part, and start it again."""
        now = time.perf_counter()
        self.seconds[part] = now - self.started
        self.started = now
