"""A job of a sweep in a process that has imported everything: what it takes by itself, without the sweep.

``python -m benchmarks.rivals.tiny_job FOLDER OVERRIDE...`` trains the run afresh at each turn.
"""

import contextlib
import itertools
import sys

from benchmarks.rivals.gate import Gate
from vae_lightning.composing import composed
from vae_lightning.sweeps import preloaded  # noqa: F401  # as the jobs' own server
from vae_lightning.training import train


def main() -> None:
    """Train the whole run, with its evaluation and figures, at each turn."""
    folder, *overrides = sys.argv[1:]
    gate = Gate()
    with contextlib.suppress(EOFError):
        for number in itertools.count():
            config = composed([*overrides, f"runs_dir={folder}/{number}"])
            gate.wait()
            train(config)
            gate.note()


if __name__ == "__main__":
    main()
