"""The imports that a fork server does once for all jobs of a sweep, also those that a run needs only at its end."""

import atexit
import gc
import io
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


def warm_up() -> None:
    """Draw a figure and print a line into nothing: fonts are measured once, and lazy imports happen."""
    figure = Figure(layout="constrained")
    figure.add_subplot().semilogy([1, 10], label="$10^0$")
    matplotlib.backends.backend_agg.FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    Console(file=io.StringIO()).print("[b]:zap:[/b]", 1.0)


warm_up()
# What is imported stays: each job's garbage collector would look at all of it again, and copy its memory by doing so.
gc.collect()
gc.freeze()
# The server has nothing to clean up; Python would take two seconds, and libraries would warn of what they leak.
atexit.register(os._exit, 0)
