"""How many more runs an hour two slots of one thread finish than one slot of two threads."""

from pathlib import Path

from benchmarks.bench import Bench, n_cores, program
from benchmarks.commands import seconds_of
from benchmarks.rows import Goal, Row, ratio, spread

ONE, TWO, GAIN = "one slot of two threads", "two slots of one thread", "gain"
MLP = ["latent_dim=20", "trainer.max_epochs=2", "wandb.mode=disabled"]


def measure(bench: Bench) -> list[Row]:
    what = "four runs of the mlp, two epochs each"
    if n_cores() < 2:
        return [Row(what, {GAIN: "needs two cores"})]
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for number in range(bench.rounds(3)):
        for n_slots in (1, 2) if number % 2 == 0 else (2, 1):
            seconds[n_slots].append(seconds_of_sweep(bench.subfolder("slots", number, n_slots), n_slots))
    values = {ONE: spread(seconds[1], "s"), TWO: spread(seconds[2], "s"), GAIN: ratio(seconds[1], seconds[2])}
    return [Row(what, values, [Goal(GAIN, 1.6, at_least=True)])]


def seconds_of_sweep(folder: Path, n_slots: int) -> float:
    """Return the seconds from the first run's beginning to the last one's end."""
    slots = [f"hydra.launcher.n_slots={n_slots}", f"hydra.launcher.threads={2 // n_slots}"]
    seconds_of([program("vae-train"), "-m", *MLP, *slots, "kl_weight=0.5,1,2,4", f"runs_dir={folder}"])
    began = min(path.stat().st_mtime for path in folder.glob("default/*/config.yaml"))
    ended = max(path.stat().st_mtime for path in folder.glob("default/*/results.json"))
    return ended - began
