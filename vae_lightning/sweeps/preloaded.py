"""What a fork server does once for all jobs of a sweep: imports, also those that a run needs only at its end, and the
images that the jobs have in common."""

import atexit
import contextlib
import gc
import io
import json
import os

import matplotlib.backends.backend_agg
import PIL.BmpImagePlugin
import PIL.GifImagePlugin
import PIL.JpegImagePlugin
import PIL.PpmImagePlugin
import PIL.WebPImagePlugin  # noqa: F401
import requests  # noqa: F401
import sklearn.datasets
import sklearn.neighbors  # noqa: F401
import torch.utils.serialization.config  # noqa: F401
import wandb.apis.public  # noqa: F401  # which wandb.init imports
from matplotlib.figure import Figure
from rich.console import Console

import vae_lightning.networks
import vae_lightning.training  # noqa: F401
from vae_lightning import assemble, evaluation
from vae_lightning.sweeps.process import COMMON_DATA


def warm_up() -> None:
    """Draw a figure and print a line into nothing: fonts are measured once, and lazy imports happen."""
    figure = Figure(layout="constrained")
    figure.add_subplot().semilogy([1, 10], label="$10^0$")
    matplotlib.backends.backend_agg.FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    Console(file=io.StringIO()).print("[b]:zap:[/b]", 1.0)


def load_common_data() -> None:
    """Load the images that the sweep's jobs have in common, and ask of them what every job asks."""
    if common := os.environ.pop(COMMON_DATA, None):
        # Whatever is wrong with the data, each job finds out by itself, and says so in its log.
        with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):
            node, seed = json.loads(common)
            assemble.share_data(node, seed, evaluation.OF_THE_IMAGES)


warm_up()
load_common_data()
# What is imported stays: each job's garbage collector would look at all of it again, and copy its memory by doing so.
gc.collect()
gc.freeze()
# The server has nothing to clean up; Python would take two seconds, and libraries would warn of what they leak.
atexit.register(os._exit, 0)
