"""``vae-evaluate RUN``: every diagnostic of a run's newest checkpoint on the test images."""

import os
from pathlib import Path

from vae_lightning.cli.run_command import parser_for, run_command
from vae_lightning.errors import UserError


def main() -> None:
    run_command(evaluate)


def evaluate() -> None:
    """Evaluate one run or several, one after another."""
    parser, places = parser_for(__doc__), os.environ.get("VAE_DATA_DIR")
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="a run directory")
    told = "importance samples of log p(x) for each image (default %(default)s; 5000 in the literature)"
    parser.add_argument("--samples", type=int, default=500, metavar="K", help=told)
    told = "where the data lie now, if not where the run found them (default: VAE_DATA_DIR, else as the run)"
    parser.add_argument("--data-dir", default=places, help=told)
    told = "a package of yours whose classes the run's config may name, beside this project's own"
    parser.add_argument("--allow", action="append", default=[], metavar="PACKAGE", help=told)
    told = "a diagnostic of yours, to be measured too and kept in the results"
    parser.add_argument("--metric", action="append", default=[], metavar="PACKAGE.FUNCTION", help=told)
    options = parser.parse_args()

    from rich.console import Console

    from vae_lightning import evaluating

    refused = []
    for run in options.runs:
        try:
            evaluating.evaluate(run, options.samples, options.data_dir, options.allow, Console(), options.metric)
        except UserError as error:  # the others are evaluated all the same
            refused.append(error)
    if refused:
        about = dict.fromkeys(place for error in refused for place in error.about)
        raise UserError("\n".join(map(str, refused)), refused[0].code, about)
