"""Pictures small enough that a page can hold those of hundreds of runs."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from PIL import Image

THUMBNAIL = (260, 260)
"""Pixels into which a figure is fitted."""
QUALITY = 45
LEAST_SCALE = 0.1
"""Nats that a heat map's brightest colour stands for at least: what is dead stays dark."""
WEBP = "image/webp"
PNG = "image/png"


def thumbnail(path: Path) -> str | None:
    """Return a figure of a run, small and grey, as a data URI; None where it is missing or no picture."""
    try:
        with Image.open(path) as picture:
            small = picture.convert("L")
    except (OSError, SyntaxError, ValueError):  # as Pillow answers files that are damaged
        return None
    small.thumbnail(THUMBNAIL, reducing_gap=2.0)
    content = io.BytesIO()
    small.save(content, "WEBP", quality=QUALITY, method=0)
    return data_uri(content.getvalue(), WEBP)


def sprite(path: Path) -> str | None:
    """Return the latent plane of a run as a data URI; None where it is missing or no picture."""
    try:
        with Image.open(path) as picture:
            picture.load()
        return data_uri(path.read_bytes(), WEBP)
    except (OSError, SyntaxError, ValueError):
        return None


def heat_map(history: Sequence[Sequence[float | None]]) -> str | None:
    """Return the KL of each unit over the epochs as a data URI: an epoch to the right, a unit downwards, the one with
    the largest last KL on top; each cell is one pixel. A value that was not finite counts as 0."""
    if not history:
        return None
    values = np.array([[0.0 if value is None else value for value in epoch] for epoch in history])
    values = values[:, np.argsort(-values[-1], kind="stable")]
    shares = values / max(float(values.max()), LEAST_SCALE)
    colors = (colormaps["viridis"](shares.T)[..., :3] * 255).round().astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(colors).save(content, "PNG", optimize=True)
    return data_uri(content.getvalue(), PNG)


def data_uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
