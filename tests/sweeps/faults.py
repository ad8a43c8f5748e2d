"""A beta schedule in which things go wrong, as long as the folder of faults is there; for sweeps in real processes."""

import json
import os
import signal
import time
from pathlib import Path

import torch

from vae_lightning.training_step import TrainingStep

STEP = 20


def faulty(at: TrainingStep, *, fault: str, folder: str) -> float:
    """Return 1. At its first and last steps it notes who it is; at step 20 ``fault`` happens."""
    place = Path(folder)
    if at.step in {0, at.total_steps - 1}:
        _note(place, fault, "began" if at.step == 0 else "ended")
    if at.step == STEP and (place / "on").exists():
        _note(place, fault, "fault")
        if fault.startswith("raise"):
            raise ArithmeticError("the job's own mistake")
        if fault.startswith("hang"):
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            time.sleep(1000)
        if fault.startswith("wait"):  # to be killed
            time.sleep(1000)
        if fault.startswith("memory"):
            torch.zeros(2**34, dtype=torch.uint8).add_(1)
    return 1.0


def _note(folder: Path, fault: str, what: str) -> None:
    keys = ("CUDA_VISIBLE_DEVICES", "LOCAL_RANK", "OMP_NUM_THREADS")
    content = {"pid": os.getpid(), "at": time.time(), "threads": torch.get_num_threads()}
    path = folder / f"{fault}.{what}.{os.environ.get('LOCAL_RANK', '0')}.json"
    path.write_text(json.dumps({**content, **{key: os.environ.get(key) for key in keys}}))
