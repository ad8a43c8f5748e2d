"""Looking without leaving a trace in the random numbers of whoever is looked at."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def undisturbed(*sources: Any, device: torch.device | None = None) -> Iterator[None]:
    """Leave every random state as it was: Python's, numpy's, torch's, and those of the generators of DataLoaders."""
    parts = (part for source in sources for part in (source, getattr(source, "sampler", None)))
    generators = [each for part in parts if isinstance(each := getattr(part, "generator", None), torch.Generator)]
    states = [(generator, generator.get_state()) for generator in generators]
    of_python, of_numpy = random.getstate(), np.random.get_state()
    devices = [device] if device is not None and device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)
        for generator, state in states:
            generator.set_state(state)
