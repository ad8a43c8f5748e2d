"""What follows the training in an epoch: the pass over the test images, the unit monitor, the checkpoint."""

from benchmarks.alternation import RivalError, alternate
from benchmarks.bench import Bench
from benchmarks.entrants import OURS, ours
from benchmarks.rows import Goal, Row, Spread, spread

SHARE = "of the training"
PARTS = (
    ("pass over 10,000 test images", "test pass", None),
    ("unit monitor", "unit monitor", 5.0),
    ("checkpoint on the disk", "checkpoint", 2.0),
)
"""What a row says, the part of a stretch, and how many per cent of the training it may take."""


def measure(bench: Bench) -> list[Row]:
    folder = bench.subfolder("epoch")
    timed = alternate([ours(["model=mlp", "latent_dim=50"], bench.n_threads, folder)], folder, bench.rounds(5))
    if timed.failures:
        raise RivalError(timed.failures[OURS])
    training, rows = timed.seconds(OURS), []
    for what, part, limit in PARTS:
        seconds = timed.seconds(OURS, part)
        shares = [100 * spent / whole for spent, whole in zip(seconds, training, strict=True)]
        values: dict[str, Spread | str] = {OURS: spread(seconds, "s"), SHARE: spread(shares, "%")}
        rows.append(Row(f"{what} after an epoch of the mlp", values, [Goal(SHARE, limit)] if limit else []))
    return rows
