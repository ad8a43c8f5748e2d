"""Which jobs fit on a machine at once: GPUs times jobs for each, or cores shared out as threads."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from vae_lightning.errors import UserError

VISIBLE = "CUDA_VISIBLE_DEVICES"
HIDDEN = {"-1", "NoDevFiles"}
"""By which a shell or a batch system says that there is none."""


class Slot(NamedTuple):
    """Room for one job on one device."""

    number: int
    gpu: str | None
    """As CUDA names it: an index or a UUID; None for a share of the CPU."""


class Slots:
    """The free slots of a machine, and how many threads a job may use."""

    def __init__(self, slots: Sequence[Slot], threads: int) -> None:
        self.all = tuple(slots)
        self.free = list(slots)
        self.threads = threads

    def take(self, n_devices: int | None) -> tuple[Slot, ...] | None:
        """Take slots on as many different devices, None for all; return None while they are not free.

        On GPUs that hold several jobs each, one slot of each GPU is taken.

        Raises:
            UserError: there never will be as many.
        """
        wanted = len(self._different(self.all)) if n_devices is None else n_devices
        if wanted > (there := len(self._different(self.all))):
            kind = "GPUs" if self.all[0].gpu else "slots of the CPU"
            raise UserError(f"trainer.devices={wanted}: there are {there} {kind}; see hydra.launcher")
        taken = self._different(self.free)[:wanted]
        if len(taken) < wanted:
            return None
        self.free = [slot for slot in self.free if slot not in taken]
        order = [slot.gpu for slot in self.all]
        return tuple(sorted(taken, key=lambda slot: (order.index(slot.gpu), slot.number)))

    def give_back(self, slots: Sequence[Slot]) -> None:
        self.free = sorted([*self.free, *slots])

    def _different(self, slots: Sequence[Slot]) -> list[Slot]:
        """Return the first slot on each device, by its number; a share of a CPU is a device of its own."""
        first = {slot.gpu if slot.gpu is not None else slot.number: slot for slot in reversed(slots)}
        return sorted(first.values())


def slots_of_this_machine(
    accelerator: str, gpus: Sequence[str | int] | None, jobs_per_gpu: int, n_slots: int | None, threads: int | None
) -> Slots:
    """Return the slots for jobs of an accelerator.

    Args:
        accelerator: cpu or cuda.
        gpus: the ones to use; None: those that are visible, for cuda, and none for a CPU.
        jobs_per_gpu: jobs at once on each.
        n_slots: jobs at once; None: what fits.
        threads: per job; None: the cores divided by the slots. It follows from the machine and not from how many jobs
            are left, since sums over another number of threads end in other bits.

    Raises:
        UserError: more jobs or threads are asked for than there is room for.
    """
    names = [str(gpu) for gpu in gpus] if gpus is not None else _visible_gpus() if accelerator == "cuda" else []
    cores = n_cores()
    if names:
        if len(set(names)) < len(names):
            raise UserError(f"hydra.launcher.gpus={','.join(names)}: each can be named once")
        room = [name for _ in range(jobs_per_gpu) for name in names]
        if n_slots is not None and n_slots > len(room):
            raise UserError(
                f"hydra.launcher.n_slots={n_slots}: {len(names)} GPUs x jobs_per_gpu={jobs_per_gpu} are {len(room)}"
            )
        slots = [Slot(number, name) for number, name in enumerate(room[:n_slots])]
    else:
        slots = [Slot(number, None) for number in range(n_slots or max(1, cores // (threads or 1)))]
    n_threads = threads or max(1, cores // len(slots))
    # More GPUs than cores are what a machine may have; more threads than cores somebody has asked for.
    if len(slots) * n_threads > cores and (threads or not names):
        raise UserError(
            f"hydra.launcher.n_slots={len(slots)}, hydra.launcher.threads={n_threads}: {len(slots) * n_threads} "
            f"threads are more than the {cores} cores, and would slow each other down"
        )
    return Slots(slots, n_threads)


def n_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _visible_gpus() -> list[str]:
    """Return the names of the GPUs that this process sees. They are counted, not touched."""
    if (named := os.environ.get(VISIBLE)) is not None:
        names = [name.strip() for name in named.split(",")]
        return [name for name in names if name and name not in HIDDEN]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def environment(slots: Sequence[Slot]) -> dict[str, str]:
    """Return what a job's process must have in its environment before it first touches a device."""
    gpus = [slot.gpu for slot in slots if slot.gpu is not None]
    return {VISIBLE: ",".join(gpus)} if gpus else {}
