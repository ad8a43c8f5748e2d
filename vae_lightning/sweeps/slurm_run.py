"""A run inside a SLURM job, and its answers to the signals of SLURM."""

import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vae_lightning.errors import Interrupted
from vae_lightning.runs.run_config import RunConfig
from vae_lightning.sweeps.jobs import awaits_replacement
from vae_lightning.sweeps.process import train_and_record

if TYPE_CHECKING:
    import submitit

SAVE_SIGNAL = signal.SIGUSR1
"""The signal that SLURM sends before it takes a node back. A run saves at it; submitit then queues the job again."""
TO_BE_ENDED_S = 120.0
"""How long a run that has saved at SIGTERM waits for SLURM to end it."""


@dataclass
class RunInSlurm:
    """A run for submitit to call on a node; it is pickled when it is submitted, and when it is queued again."""

    config: RunConfig
    threads: int
    """Of each process."""
    outcome: Path
    """Where it records how it ended."""
    replaces: int | None
    """The inode of the directory of an earlier run that it replaces."""

    def __call__(self) -> None:
        """Train. Raises SystemExit with why it failed, after which submitit has no result to keep."""
        try:
            train_and_record(self.config, self.threads, self.outcome)
        except Interrupted as stopped:
            if stopped.exit_code == 128 + SAVE_SIGNAL:
                signal.raise_signal(SAVE_SIGNAL)  # submitit's handler is back, and queues the job again
            # SIGTERM announces the end, and only SLURM knows whether it is final. All is saved, so wait for it.
            time.sleep(TO_BE_ENDED_S)
            raise

    def checkpoint(self) -> "submitit.helpers.DelayedSubmission":
        """Return what goes on later: the same run, which finds its own checkpoints and starts afresh only once."""
        from submitit.helpers import DelayedSubmission

        if not awaits_replacement(self.config.directory, self.replaces):
            self.config = self.config.changed(rerun=False)
        return DelayedSubmission(self)
