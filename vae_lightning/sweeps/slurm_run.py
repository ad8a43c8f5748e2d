"""A run inside a SLURM job: what it does at SLURM's signals."""

import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_lightning.errors import Interrupted, UserError
from vae_lightning.runs.directory import CONFIG
from vae_lightning.sweeps.process import PATIENCE_S

if TYPE_CHECKING:
    import submitit

SAVE_SIGNAL = signal.SIGUSR1
"""What SLURM sends before it takes a node back. Our runs save at it; submitit then queues the job again."""
TO_BE_ENDED_S = 120.0


class RunInSlurm:
    """What submitit calls on a node; it is pickled, and again when the job is queued again."""

    def __init__(self, config: dict[str, Any], threads: int) -> None:
        self.config = config
        self.threads = threads
        self.submitted_at = time.time()

    def __call__(self) -> None:
        """Train. Raises SystemExit with why it failed, after which submitit has no result to keep."""
        import torch

        from vae_lightning.training import train

        torch.set_num_threads(self.threads)
        try:
            train(self.config, patience_s=PATIENCE_S)
        except UserError as error:
            sys.exit(f"{error}")
        except Interrupted as stopped:
            if stopped.exit_code == 128 + SAVE_SIGNAL:
                signal.raise_signal(SAVE_SIGNAL)  # submitit's handler is back, and queues the job again
            # SIGTERM announces the end; SLURM alone knows whether for good. All is saved, so it is waited for.
            time.sleep(TO_BE_ENDED_S)
            raise

    def checkpoint(self) -> "submitit.helpers.DelayedSubmission":
        """Return what goes on later: the same, since the run finds its own checkpoints; afresh it begins once."""
        from submitit.helpers import DelayedSubmission

        config = Path(self.config["run"]["directory"]) / CONFIG
        if config.exists() and config.stat().st_mtime >= self.submitted_at:
            self.config = {**self.config, "rerun": False}
        return DelayedSubmission(self)
