"""An epoch of training: a bare loop, plain Lightning, ours with all that a normal run has, and pythae."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.alternation import Entrant, Timed, alternate
from benchmarks.bench import Bench
from benchmarks.entrants import BARE, OURS, PLAIN, PYTHAE_NAME, bare_loop, ours, plain_lightning, pythae, why_no_pythae
from benchmarks.images import N_TRAINING, images_overrides
from benchmarks.rows import Goal, Row, Spread, ratio, spread

N_TEST = 1000
"""Images of the pass after each epoch, which is not timed here."""
PAIRS = ((OURS, BARE), (PLAIN, BARE), (PYTHAE_NAME, OURS))
"""The ratios that are shown, where both were measured."""


class Case(NamedTuple):
    """A model to train."""

    model: str
    latent_dim: int
    rivals: Sequence[str]
    n_rounds: int
    goals: Sequence[Goal]
    n_images: int = N_TRAINING
    """Images of a stretch: those of a whole epoch, or fewer where the model is slow."""
    extra: Sequence[str] = ()
    """Overrides beside the model."""

    @property
    def overrides(self) -> list[str]:
        sizes = [f"model={self.model}", f"latent_dim={self.latent_dim}"]
        return [*sizes, *self.extra, *images_overrides(self.n_images, N_TEST)]


CASES = (
    Case(
        "mlp",
        50,
        (BARE, PLAIN, OURS, PYTHAE_NAME),
        9,
        [Goal(f"{OURS} / {BARE}", 1.10), Goal(f"{PYTHAE_NAME} / {OURS}", 1.35, at_least=True)],
    ),
    Case("mlp_small", 20, (BARE, PLAIN, OURS), 9, [Goal(f"{OURS} / {BARE}", 1.10)]),
    Case("conv", 2, (BARE, OURS), 24, [Goal(f"{OURS} / {BARE}", 1.05)], n_images=2500),
)


def measure(bench: Bench) -> list[Row]:
    return [row_of(case, bench.n_threads, bench.rounds(case.n_rounds), bench.subfolder(case.model)) for case in CASES]


def row_of(case: Case, n_threads: int, n_rounds: int, folder: Path) -> Row:
    """Measure the rivals of a model in turns."""
    refused = why_no_pythae() if PYTHAE_NAME in case.rivals else None
    names = [name for name in case.rivals if not (name == PYTHAE_NAME and refused)]
    timed = alternate([entrant_of(name, case, n_threads, folder) for name in names], folder, n_rounds)
    if refused:
        timed.failures[PYTHAE_NAME] = refused
    return Row(f"{case.model}, latent {case.latent_dim}", values_of(timed, case.rivals, case.n_images), case.goals)


def entrant_of(name: str, case: Case, n_threads: int, folder: Path) -> Entrant:
    if name == OURS:
        return ours(case.overrides, n_threads, folder)
    if name == PYTHAE_NAME:
        return pythae(n_threads, folder, case.latent_dim, case.n_images)
    return (bare_loop if name == BARE else plain_lightning)(case.overrides, n_threads)


def values_of(timed: Timed, rivals: Sequence[str], n_images: int) -> dict[str, Spread | str]:
    """Return seconds of a whole epoch for each rival, then the ratios."""
    values: dict[str, Spread | str] = {}
    for name in rivals:
        if name in timed.failures:
            values[name] = timed.failures[name]
        else:
            values[name] = spread([seconds * N_TRAINING / n_images for seconds in timed.seconds(name)], "s")
    for above, below in PAIRS:
        if above in timed.stretches and below in timed.stretches:
            values[f"{above} / {below}"] = ratio(timed.seconds(above), timed.seconds(below))
    return values
