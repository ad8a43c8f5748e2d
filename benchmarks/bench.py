"""What all sections share: where they may write, how many threads their processes get, how often they measure."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PEERS = ROOT / ".venv-peers"
"""The environment that ``make bench`` makes for pythae."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Bench:
    """One run of the benchmarks."""

    folder: Path
    """A temporary folder; all that is trained goes there."""
    n_threads: int
    """Threads of each process in a comparison of two programs."""
    n_jobs: int | None = None
    """Runs of the whole sweep; None: as many as ``make sweep`` has."""
    n_rounds: int | None = None
    """How often each rival gets its turn; None: as often as a section thinks fit."""

    def rounds(self, fit: int) -> int:
        return self.n_rounds or fit

    def subfolder(self, *names: object) -> Path:
        """Make a folder inside the temporary one."""
        made = self.folder.joinpath("-".join(map(str, names)))
        made.mkdir(parents=True, exist_ok=True)
        return made


def n_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_by_environment() -> int | None:
    """Return the number of threads that the user has set; None where it is not."""
    first = os.environ.get(THREADS[0], "").split(",")[0]
    return int(first) if first.isdecimal() and int(first) else None


def program(name: str) -> str:
    """Return one of our commands, of the environment that this process runs in."""
    return str(Path(sys.executable).with_name(name))


def environment(n_threads: int | None) -> dict[str, str]:
    """Return the environment of a process with a number of threads, or with none set; W&B stays offline.

    ``make`` tells its children of itself by variables that another ``make`` would follow.
    """
    kept = {name: value for name, value in os.environ.items() if name not in {*THREADS, "MAKEFLAGS", "MAKELEVEL"}}
    path = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH")]))
    data = str(Path(kept.get("VAE_DATA_DIR", ROOT / "data")).absolute())
    threads = {} if n_threads is None else {THREADS[0]: str(n_threads)}
    return {**kept, **threads, "PYTHONPATH": path, "VAE_DATA_DIR": data, "WANDB_MODE": "offline"}
