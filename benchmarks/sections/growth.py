"""How the time grows: with the runs of a sweep, with latent units, with importance samples."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.alternation import Entrant, Rival, RivalError, alternate, started
from benchmarks.bench import Bench, program
from benchmarks.commands import repeated, seconds_of
from benchmarks.entrants import BARE, OURS, bare_loop, ours
from benchmarks.images import images_overrides
from benchmarks.rivals.gate import TRAINING
from benchmarks.rows import Goal, Row, ratio, spread
from benchmarks.sections.tiny import TINY, tiny_job

N_JOBS = (10, 20, 40, 80)
N_OF_THE_GOAL = 40  # as many as make sweep has; what the command takes to start is shared by all
N_UNITS = (2, 20, 200, 1000)
N_SAMPLES = (10, 100, 1000, 5000)
BEYOND, BEYOND_BARE = "beyond its own time", "beyond a bare loop with a test pass"
N_ROUNDS = 5


def measure(bench: Bench) -> list[Row]:
    return [*with_jobs(bench), *with_units(bench), *with_samples(bench)]


class OwnTime(NamedTuple):
    """Rivals that take a tiny job's own time: as a run of ours in a warm process, and as a bare loop."""

    warm: Rival
    bare: Rival

    def times(self, n: int) -> tuple[list[float], list[float]]:
        """Return the seconds of some jobs of each."""
        return [self.warm.stretch()[TRAINING] for _ in range(n)], [sum(self.bare.stretch().values()) for _ in range(n)]


def with_jobs(bench: Bench) -> list[Row]:
    """Time sweeps of tiny jobs on one slot of one thread, with their own time before and after each."""
    folder = bench.subfolder("jobs")
    entrants = [tiny_job(folder), bare_loop(TINY, 1)]
    with started(entrants, folder) as (rivals, failures):
        if failures:
            raise RivalError("; ".join(failures.values()))
        own = OwnTime(rivals[entrants[0].name], rivals[entrants[1].name])
        own.times(1)  # to warm up
        return [row_of_jobs(n_jobs, own, bench.subfolder("jobs", n_jobs)) for n_jobs in N_JOBS]


def row_of_jobs(n_jobs: int, own: OwnTime, folder: Path) -> Row:
    before = own.times(3)
    wall = seconds_of(sweep_of_tiny_jobs(n_jobs, folder)) / n_jobs
    after = own.times(3)
    warm, bare = ([*first, *second] for first, second in zip(before, after, strict=True))
    values = {
        OURS: spread([wall], "s"),
        BEYOND: spread([wall - seconds for seconds in warm], "s"),
        BEYOND_BARE: spread([wall - seconds for seconds in bare], "s"),
    }
    goals = [Goal(BEYOND, 0.3)] if n_jobs == N_OF_THE_GOAL else []
    return Row(f"sweep of {n_jobs} tiny runs on one slot, a run", values, goals)


def sweep_of_tiny_jobs(n_jobs: int, folder: Path) -> list[str]:
    weights = ",".join(f"{0.1 * (index + 1):.1f}" for index in range(n_jobs))
    slots = ["hydra.launcher.n_slots=1", "hydra.launcher.threads=1"]
    return [program("vae-train"), "-m", *TINY, *slots, f"kl_weight={weights}", f"runs_dir={folder}"]


def with_units(bench: Bench) -> list[Row]:
    """Time an epoch of the mlp with more and more latent units."""
    rows = []
    for n_units in N_UNITS:
        folder = bench.subfolder("units", n_units)
        overrides = ["model=mlp", f"latent_dim={n_units}", *images_overrides(n_test=1000)]
        entrants: Sequence[Entrant] = [
            bare_loop(overrides, bench.n_threads),
            ours(overrides, bench.n_threads, folder),
        ]
        timed = alternate(entrants, folder, bench.rounds(N_ROUNDS))
        if timed.failures:
            raise RivalError("; ".join(timed.failures.values()))
        pair = timed.seconds(OURS), timed.seconds(BARE)
        values = {BARE: spread(pair[1], "s"), OURS: spread(pair[0], "s"), f"{OURS} / {BARE}": ratio(*pair)}
        rows.append(Row(f"training epoch of the mlp, {n_units} latent units", values))
    return rows


def with_samples(bench: Bench) -> list[Row]:
    """Time vae-evaluate, from its start to its end, on the 297 test images of the small digits."""
    folder = bench.subfolder("samples")
    small = ["data=digits", "model=mlp_small", "trainer.max_epochs=1", "wandb.mode=disabled"]
    seconds_of([program("vae-train"), *small, f"runs_dir={folder}"])
    [run] = (path.parent for path in folder.rglob("results.json"))
    rows = []
    for n_samples in N_SAMPLES:
        command = [program("vae-evaluate"), str(run), "--samples", str(n_samples)]
        seconds = spread(repeated(command, bench.rounds(1)), "s")
        rows.append(Row(f"vae-evaluate, {n_samples} importance samples, 297 images", {OURS: seconds}))
    return rows
