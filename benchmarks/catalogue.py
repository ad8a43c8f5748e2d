"""The sections by their names, in the order in which they are measured and shown."""

from collections.abc import Callable
from typing import NamedTuple

from benchmarks.bench import Bench
from benchmarks.rows import Row
from benchmarks.sections import busy, commands, epoch, gpu, growth, library, memory, slots, sweep, training


class Section(NamedTuple):
    """A table: its title, how its numbers came about, and the function that measures them."""

    title: str
    note: str
    measure: Callable[[Bench], list[Row]]


SECTIONS = {
    "training": Section(
        "Training epoch",
        "Seconds for 60,000 images of MNIST in batches of 100. The rivals take turns, a stretch each, with the same "
        "networks and Adam; ratios are of stretches of the same round. Ours is `vae-train` with all that a normal run "
        "has: local curves, offline W&B, progress bar, unit monitor, checkpoints. Plain Lightning logs and saves "
        "nothing. pythae is version 0.1.2 in an environment of its own.",
        training.measure,
    ),
    "sweep": Section(
        "Whole sweep",
        "Wall seconds of the command of `make sweep`, with its evaluations, figures and report, beside the same "
        "trainings as bare loops, in as many processes of one thread as there are cores.",
        sweep.measure,
    ),
    "growth": Section(
        "Growth",
        "A tiny run is an epoch of a linear model over 1,500 digits. Its own time is that of a whole run in a process "
        "that has imported everything.",
        growth.measure,
    ),
    "busy": Section(
        "Quiet and busy",
        "Seconds of a training epoch by `vae-train`, on a quiet machine and beside one busy process for each core.",
        busy.measure,
    ),
    "epoch": Section("After an epoch", "Seconds beside those of the training epoch before it.", epoch.measure),
    "commands": Section("Commands", "Seconds from the start of a command to its end.", commands.measure),
    "library": Section(
        "The library",
        "Imports in turns with torch's; answers as a notebook waits for them, imports and data not counted; the peak "
        "is the process's, with torch and the images.",
        library.measure,
    ),
    "memory": Section("Memory", "The kernel's own high-water mark of resident memory.", memory.measure),
    "slots": Section(
        "Slots of a sweep", "From the first run's beginning to the last one's end, W&B disabled.", slots.measure
    ),
    "gpu": Section("On a GPU", "As the training epochs above.", gpu.measure),
}
