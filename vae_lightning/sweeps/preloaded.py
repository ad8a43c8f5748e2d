"""What a fork server imports once for all jobs of a sweep, things that a run needs only at its end included."""

import atexit
import gc
import os

import matplotlib.backends.backend_agg
import PIL.BmpImagePlugin
import PIL.GifImagePlugin
import PIL.JpegImagePlugin
import PIL.PpmImagePlugin
import PIL.WebPImagePlugin  # noqa: F401
import rich._emoji_codes  # noqa: F401
import sklearn.datasets
import sklearn.neighbors  # noqa: F401
import torch.utils.serialization.config  # noqa: F401
import wandb  # noqa: F401
from matplotlib.figure import Figure

import vae_lightning.training  # noqa: F401


def warm_up() -> None:
    """Draw a figure: fonts are found and measured once."""
    figure = Figure(layout="constrained")
    figure.add_subplot().semilogy([1, 10], label="$10^0$")
    matplotlib.backends.backend_agg.FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]


warm_up()
# What is imported stays: each job's garbage collector would look at all of it again, and copy its memory by doing so.
gc.collect()
gc.freeze()
# The server has nothing to put away; Python would take two seconds over it, and libraries tell what they leak.
atexit.register(os._exit, 0)
