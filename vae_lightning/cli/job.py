"""``python -m vae_lightning.cli.job FILE``: train one run by its resolved config; not a command for people.

A run of several ranks is started like this by a sweep: Lightning starts the same command again for the other ranks.
"""

import json
import sys
from pathlib import Path

from vae_lightning.cli.run_command import run_command


def main() -> None:
    run_command(job)


def job() -> None:
    """Train the run that the file describes."""
    from vae_lightning.config import checked
    from vae_lightning.sweeps.outcome import outcome_recorded
    from vae_lightning.sweeps.process import PATIENCE_S
    from vae_lightning.training import train

    order = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    config = checked(order["config"])
    with outcome_recorded(Path(order["outcome"]), config):
        train(config, patience_s=PATIENCE_S)


if __name__ == "__main__":
    main()
