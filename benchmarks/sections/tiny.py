"""The tiny run by which a sweep's own cost is measured: a linear model, 1,500 digits, one epoch."""

import sys
from pathlib import Path

from benchmarks.alternation import Entrant

TINY = ["data=digits", "model=linear", "latent_dim=2", "trainer.max_epochs=1", "wandb.mode=disabled"]


def tiny_job(folder: Path) -> Entrant:
    """Return a rival that trains the run afresh at each turn, in a process that has imported everything."""
    command = [sys.executable, "-m", "benchmarks.rivals.tiny_job", str(folder / "own"), *TINY]
    return Entrant("tiny job", command, 1)
