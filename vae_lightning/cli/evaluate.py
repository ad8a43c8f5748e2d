"""``vae-evaluate RUN``: every diagnostic of a run's newest checkpoint on the test images."""

import argparse
from pathlib import Path

from vae_lightning.cli.door import open_door

SAMPLES = 500


def main() -> None:
    open_door(evaluate)


def evaluate() -> None:
    """Examine one run or several, one after another."""
    parser = argparse.ArgumentParser(prog="vae-evaluate", description=__doc__.split(": ", 1)[1])
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="a run directory")
    parser.add_argument(
        "--samples",
        type=int,
        default=SAMPLES,
        metavar="K",
        help=f"importance samples of log p(x) for each image (default {SAMPLES}; 5000 in the literature)",
    )
    options = parser.parse_args()

    from rich.console import Console

    from vae_lightning import evaluating

    for run in options.runs:
        evaluating.evaluate(run, options.samples, Console())
