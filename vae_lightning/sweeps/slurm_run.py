"""A run inside a SLURM job, and its answers to the signals of SLURM."""

import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from vae_lightning.errors import Interrupted, UserError
from vae_lightning.runs.run_config import RunConfig
from vae_lightning.sweeps.jobs import awaits_replacement
from vae_lightning.sweeps.outcome import outcome_recorded
from vae_lightning.sweeps.process import PATIENCE_S

if TYPE_CHECKING:
    import submitit

SAVE_SIGNAL = signal.SIGUSR1
"""The signal that SLURM sends before it takes a node back. A run saves at it; submitit then queues the job again."""
TO_BE_ENDED_S = 120.0
"""How long a run that has saved at SIGTERM waits for SLURM to end it."""


class RunInSlurm:
    """A run for submitit to call on a node; it is pickled when it is submitted, and when it is queued again.

    Args:
        config: of the run.
        threads: of each process.
        outcome: where it records how it ended.
        replaces: the inode of the directory of an earlier run that it replaces.
    """

    def __init__(self, config: RunConfig, threads: int, outcome: Path, replaces: int | None) -> None:
        self.config = config
        self.threads = threads
        self.outcome = outcome
        self.replaces = replaces

    def __call__(self) -> None:
        """Train. Raises SystemExit with why it failed, after which submitit has no result to keep."""
        import torch

        from vae_lightning.training import train

        torch.set_num_threads(self.threads)
        try:
            with outcome_recorded(self.outcome, self.config):
                train(self.config, patience_s=PATIENCE_S)
        except UserError as error:
            sys.exit(f"{error}")
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
