"""The command as people type it, with no number of threads set, on a quiet machine and beside other work."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.alternation import Entrant, Rival, RivalError, rotated, started
from benchmarks.bench import Bench, n_cores
from benchmarks.entrants import ours
from benchmarks.images import images_overrides
from benchmarks.rivals.gate import TRAINING
from benchmarks.rows import Goal, Row, Spread, ratio, spread

MODELS = (("mlp", 50), ("mlp_small", 20))
UNSET = "nothing set"
TO_BEST, TO_QUIET = "nothing set / best fixed", "busy / quiet"
N_ROUNDS = 5
N_TEST = 1000
QUIET, BUSY = "quiet", "busy"
Found = dict[str, dict[str, list[float]]]
"""Seconds of epochs by the state of the machine and the number of threads."""


def measure(bench: Bench) -> list[Row]:
    return [row for model, latent_dim in MODELS for row in rows_of(model, latent_dim, bench)]


def settings() -> dict[str, int | None]:
    """Return the numbers of threads by their names: one, all, and none set."""
    fixed = {f"{number} thread{'s' if number > 1 else ''}": number for number in (1, n_cores())}
    return {**fixed, UNSET: None}


def rows_of(model: str, latent_dim: int, bench: Bench) -> list[Row]:
    folder = bench.subfolder("busy", model)
    overrides = [f"model={model}", f"latent_dim={latent_dim}", *images_overrides(n_test=N_TEST)]

    def entrants(state: str) -> list[Entrant]:
        return [ours(overrides, number, folder, f"{state} {name}") for name, number in settings().items()]

    # Those that are to run beside other work are started beside it too: a program may look around when it starts.
    with started(entrants(QUIET), folder) as (quiet, none_quiet), contextlib.ExitStack() as stack:
        with busy_cores():
            busy, none_busy = stack.enter_context(started(entrants(BUSY), folder))
        if failed := {**none_quiet, **none_busy}:
            raise RivalError("; ".join(f"{name}: {why}" for name, why in failed.items()))
        found = in_turns(quiet, busy, bench.rounds(N_ROUNDS))
    return [row_of(model, latent_dim, state, found) for state in (QUIET, BUSY)]


def in_turns(quiet: dict[str, Rival], busy: dict[str, Rival], n_rounds: int) -> Found:
    """Time an epoch of each setting a round, first on a quiet machine and then on a busy one, after one to warm up."""
    found: Found = {state: {name: [] for name in settings()} for state in (QUIET, BUSY)}
    for number in range(n_rounds + 1):
        order = rotated(list(settings()), number)
        run_once(order, quiet, QUIET, found)
        with busy_cores():
            run_once(order, busy, BUSY, found)
    return {state: {name: all_of[1:] for name, all_of in of.items()} for state, of in found.items()}


def run_once(order: Sequence[str], rivals: dict[str, Rival], state: str, found: Found) -> None:
    for name in order:
        found[state][name].append(rivals[f"{state} {name}"].stretch()[TRAINING])


@contextlib.contextmanager
def busy_cores() -> Iterator[None]:
    """Keep each core busy with a process that computes without end."""
    endless = [subprocess.Popen([sys.executable, "-c", "while True: pass"], cwd=Path("/")) for _ in range(n_cores())]
    try:
        yield
    finally:
        for process in endless:
            process.kill()
            process.wait()


def row_of(model: str, latent_dim: int, state: str, found: Found) -> Row:
    seconds = found[state]
    values: dict[str, Spread | str] = {name: spread(all_of, "s") for name, all_of in seconds.items()}
    best = min((name for name in seconds if name != UNSET), key=lambda name: spread(seconds[name]).middle)
    values[TO_BEST] = ratio(seconds[UNSET], seconds[best])
    goals = [Goal(TO_BEST, 1.05)]
    if state == BUSY:
        values[TO_QUIET] = ratio(seconds[UNSET], found[QUIET][UNSET])
        goals = [Goal(TO_QUIET, 2.5)]
    return Row(f"{model}, latent {latent_dim}, {state}", values, goals)
