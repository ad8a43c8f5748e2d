"""The slots of a machine for jobs at once: GPUs times jobs on each, or the cores divided by the threads of a job."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from vae_lightning.errors import Code, UserError

VISIBLE = "CUDA_VISIBLE_DEVICES"


class Slot(NamedTuple):
    """A place for one job on one device."""

    number: int
    gpu: str | None
    """As CUDA names it: an index or a UUID; None for a share of the CPU."""


class Slots:
    """The slots of a machine, those that are free, and the number of threads of a job."""

    def __init__(self, slots: Sequence[Slot], threads: int) -> None:
        self.all = tuple(slots)
        self.free = list(slots)
        self.threads = threads

    @property
    def in_words(self) -> str:
        """What a person is told of them."""
        n_slots = f"{len(self.all)} slots" if len(self.all) > 1 else "1 slot"
        gpus = sorted({slot.gpu for slot in self.all if slot.gpu is not None})
        return f"{n_slots} on GPU {', '.join(gpus)}" if gpus else f"{n_slots} of {self.threads} threads"

    def take(self, n_devices: int | None) -> tuple[Slot, ...] | None:
        """Take a slot on each of so many devices, None for all of them; return None while they are not free.

        Raises UserError where there never will be as many.
        """
        there = len(self._different(self.all))
        wanted = there if n_devices is None else n_devices
        if wanted > there:
            kind = "GPUs" if self.all[0].gpu else "slots of the CPU"
            message = f"trainer.devices={wanted}: there are {there} {kind}; see hydra.launcher"
            raise UserError(message, Code.UNAVAILABLE, ("trainer.devices",))
        taken = self._different(self.free)[:wanted]
        if len(taken) < wanted:
            return None
        self.free = [slot for slot in self.free if slot not in taken]
        order = [slot.gpu for slot in self.all]
        return tuple(sorted(taken, key=lambda slot: (order.index(slot.gpu), slot.number)))

    def give_back(self, slots: Sequence[Slot]) -> None:
        self.free = sorted([*self.free, *slots])

    def _different(self, slots: Sequence[Slot]) -> list[Slot]:
        """Return the first slot on each device, by its number; each slot of a CPU is a device."""
        first = {slot.gpu if slot.gpu is not None else slot.number: slot for slot in reversed(slots)}
        return sorted(first.values())


def slots_of_this_machine(
    accelerator: str, gpus: Sequence[str | int] | None, jobs_per_gpu: int, n_slots: int | None, threads: int | None
) -> Slots:
    """Return the slots for jobs on a cpu or on cuda. Raises UserError where more is asked for than there is room for.

    Args:
        accelerator: cpu or cuda.
        gpus: the ones to use; None: those that are visible, for cuda, and none for a CPU.
        jobs_per_gpu: jobs at once on each.
        n_slots: jobs at once; None: what fits.
        threads: per job; None: OMP_NUM_THREADS, else the cores divided by the slots. It follows from the machine and
            not from how many jobs are left, since sums over another number of threads end in other bits.
    """
    names = [str(gpu) for gpu in gpus] if gpus is not None else _visible_gpus() if accelerator == "cuda" else []
    cores, limit = n_cores(), _threads_by_environment()
    if names:
        if len(set(names)) < len(names):
            message = f"hydra.launcher.gpus={','.join(names)}: each can be named once"
            raise UserError(message, about=("hydra.launcher.gpus",))
        room = [name for _ in range(jobs_per_gpu) for name in names]
        if n_slots is not None and n_slots > len(room):
            there = f"{len(names)} GPUs x jobs_per_gpu={jobs_per_gpu} are {len(room)}"
            about = ["hydra.launcher.n_slots", "hydra.launcher.jobs_per_gpu"]
            raise UserError(f"hydra.launcher.n_slots={n_slots}: {there}", Code.UNAVAILABLE, about)
        slots = [Slot(number, name) for number, name in enumerate(room[:n_slots])]
    else:
        slots = [Slot(number, None) for number in range(n_slots or max(1, cores // (threads or limit or 1)))]
    share = max(1, cores // len(slots))
    n_threads = threads or min(limit or share, share)
    # More GPUs than cores are what a machine may have; more threads than cores somebody has asked for.
    if len(slots) * n_threads > cores and (threads or not names):
        message = f"hydra.launcher.n_slots={len(slots)}, hydra.launcher.threads={n_threads}: more than {cores} cores"
        raise UserError(message, Code.UNAVAILABLE, ["hydra.launcher.n_slots", "hydra.launcher.threads"])
    return Slots(slots, n_threads)


def _threads_by_environment() -> int | None:
    """Return the number of threads that the user's environment allows a process; None where it says nothing."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # further numbers are for nested loops
    return int(first) if first.isdecimal() and int(first) else None


def n_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _visible_gpus() -> list[str]:
    """Return the names of the GPUs that this process sees, without using them."""
    if (named := os.environ.get(VISIBLE)) is not None:
        names = [name.strip() for name in named.split(",")]
        return [name for name in names if name not in {"", "-1", "NoDevFiles"}]  # which say that there is none
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def environment(slots: Sequence[Slot]) -> dict[str, str]:
    """Return the environment that the process of a job needs before it first uses a device."""
    gpus = [slot.gpu for slot in slots if slot.gpu is not None]
    return {VISIBLE: ",".join(gpus)} if gpus else {}
