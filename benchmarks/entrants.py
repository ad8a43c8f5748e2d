"""The rivals of a training: the bare loop, plain Lightning, ours, and pythae in its own environment."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.alternation import Entrant, last_words
from benchmarks.bench import PEERS, environment, program

BARE, PLAIN, OURS, PYTHAE_NAME = "bare", "plain Lightning", "ours", "pythae"
ENDLESS = 10_000
"""Epochs: a rival is ended when there are enough."""
PEERS_PYTHON, PEERS_READY, PIP_LOG = PEERS / "bin" / "python", PEERS / ".ready", PEERS / "pip.log"


def bare_loop(overrides: Sequence[str], n_threads: int) -> Entrant:
    return Entrant(BARE, [sys.executable, "-m", "benchmarks.rivals.bare", *overrides], n_threads)


def plain_lightning(overrides: Sequence[str], n_threads: int) -> Entrant:
    return Entrant(PLAIN, [sys.executable, "-m", "benchmarks.rivals.plain_lightning", *overrides], n_threads)


def ours(overrides: Sequence[str], n_threads: int | None, folder: Path, name: str = OURS) -> Entrant:
    """Return our own command, whose runs go into a folder."""
    clock = "trainer._target_=benchmarks.rivals.ours.clocked_trainer"
    runs_dir = folder / "runs" / name.replace(" ", "-")
    command = [program("vae-train"), *overrides, clock, f"trainer.max_epochs={ENDLESS}", f"runs_dir={runs_dir}"]
    return Entrant(name, command, n_threads)


def pythae(n_threads: int, folder: Path, n_units: int, n_images: int) -> Entrant:
    """Return pythae, with the first images of MNIST in a file that it can read."""
    from vae_lightning.data import idx_images

    images = folder / "images.npy"
    training, _ = idx_images(dataset="mnist", data_dir=environment(None)["VAE_DATA_DIR"])
    np.save(images, training.pixels[:n_images].numpy())
    module = [str(PEERS_PYTHON), "-m", "benchmarks.rivals.pythae_vae"]
    return Entrant(PYTHAE_NAME, [*module, str(images), str(folder / "pythae"), str(n_units)], n_threads)


def why_no_pythae() -> str | None:
    """Return why pythae cannot be measured; None where it can."""
    if PEERS_READY.exists():
        return None
    if not PIP_LOG.exists():
        return "not installed: `make bench` installs it"
    said = PIP_LOG.read_text(errors="replace")
    errors = [line for line in said.splitlines() if line.startswith("ERROR")]  # warnings may follow
    return f"not installed: {last_words(errors[-1] if errors else said)}"
