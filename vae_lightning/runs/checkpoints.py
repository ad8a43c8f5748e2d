"""Checkpoints: tensors and plain containers, written whole or not at all, and read as nothing else."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from vae_lightning.data import BATCHES_AT_ONCE
from vae_lightning.errors import Code, UserError, first_line
from vae_lightning.files import write_atomically
from vae_lightning.runs.directory import CHECKPOINTS, checkpoints

KEPT = 2
THREADS = "threads"
"""The key under which lies how many threads took the steps: another number changes the last bits."""
DAMAGED = ".damaged"
"""Appended to the name of a file that cannot be read: kept for whoever wants to look at it, out of the way."""
MARKED_AS_FOLDER = 0x10
"""An attribute of the zip format, outside every checksum: what has it, torch reads as zeros without a word."""


class DamagedCheckpointError(UserError):
    """A checkpoint that is torn, or in which a bit has changed."""

    def __init__(self, path: Path, error: Exception) -> None:
        super().__init__(f"{path}: damaged ({first_line(error)})", Code.DAMAGED, [path])


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes Lightning's checkpoints by a temporary file, a flush and a rename."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        content = io.BytesIO()
        torch.save(checkpoint, content)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(Path(path), content.getbuffer())

    def load_checkpoint(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return without_unfinished_chunk(with_chunks_counted(super().load_checkpoint(*args, **kwargs)))


def without_unfinished_chunk(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint in whose counts the chunk that was in hand has not begun: the rest of it is begun anew."""
    loop = checkpoint["loops"]["fit_loop"]
    progress = loop["epoch_loop.batch_progress"]
    if progress["total"]["processed"] < progress["total"]["started"]:
        progress["is_last_batch"] = False
        if progress["current"]["processed"] == 0:  # Lightning counts a restart before the first one as one more
            loop["epoch_loop.state_dict"]["_batches_that_stepped"] -= 1
        for counts in (progress["total"], progress["current"]):
            counts["ready"] = counts["started"] = counts["processed"]
    return checkpoint


def with_chunks_counted(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint of version 0.3, in which Lightning took the steps and counted batches, as one of today.

    Today the model takes the steps, and Lightning counts chunks. Only the differences between its counts mean anything.
    """
    loop = checkpoint["loops"]["fit_loop"]
    steps = loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]
    if steps["total"]["completed"]:
        loop["epoch_loop.manual_optimization.optim_step_progress"] = steps
        batches = loop["epoch_loop.batch_progress"]["current"]
        whole, rest = divmod(batches["ready"], BATCHES_AT_ONCE)
        if batches["completed"] == batches["ready"]:  # saved after the held-out images
            begun = ended = counted = whole + bool(rest)
        else:
            begun, ended, counted = whole + bool(rest), whole, whole - (not rest)
        chunks = {"ready": begun, "started": begun, "processed": ended, "completed": counted}
        loop["epoch_loop.batch_progress"] |= {"total": chunks, "current": dict(chunks)}
    return checkpoint


def checkpoint_path(run_directory: Path, step: int) -> Path:
    """Return where the checkpoint after ``step`` steps lies; names sort as the steps do."""
    return run_directory / CHECKPOINTS / f"step{step:09d}.ckpt"


def remove_all_but_the_newest(run_directory: Path) -> None:
    """Keep the last ``KEPT`` checkpoints of a run."""
    for path in checkpoints(run_directory)[:-KEPT]:
        path.unlink(missing_ok=True)


def newest_good_checkpoint(
    run_directory: Path, tell: Callable[[str], None], set_aside: bool
) -> tuple[Path, dict[str, Any]] | None:
    """Return the newest checkpoint that can be read, with its content; None where there is none at all.

    ``tell`` is called with a line for each damaged one that is skipped; ``set_aside`` renames those, which only the
    process that owns the run may do.

    Raises UserError where all are damaged; or one holds what only running code could restore.
    """
    damages: list[DamagedCheckpointError] = []
    for path in reversed(checkpoints(run_directory)):
        try:
            content = load_checkpoint(path)
        except DamagedCheckpointError as error:
            damages.append(error)
            continue
        for damage in damages:
            tell(f"{damage}; the one before it is used")
        if set_aside:
            for damaged in (each for each in checkpoints(run_directory) if each > path):
                damaged.rename(damaged.with_name(damaged.name + DAMAGED))
        return path, content
    if damages:
        lines = [*map(str, damages), "There is no other checkpoint; rerun=true trains afresh and keeps these aside."]
        raise UserError("\n".join(lines), Code.DAMAGED, [path for damage in damages for path in damage.about])
    return None


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Return a checkpoint's content, on the CPU.

    Raises:
        DamagedCheckpointError: it is torn, a bit of it has changed, or it is no checkpoint.
        UserError: it holds what only running code could restore; none of it was run.
    """
    try:
        # torch writes the checksums of the zip format, and does not look at them when it reads.
        with zipfile.ZipFile(path) as archive:
            if changed := archive.testzip():
                raise ValueError(f"the checksum of {changed} is wrong")
            if any(entry.external_attr & MARKED_AS_FOLDER for entry in archive.infolist()):
                raise ValueError("a tensor is marked as a folder")
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict) or not {"epoch", "global_step", "state_dict"} <= content.keys():
            raise ValueError("not a checkpoint of a run")
    except UnpicklingError as error:
        if " GLOBAL " not in str(error):  # the name under which pickle asks for a class or a function
            raise DamagedCheckpointError(path, error) from error
        reason = f"{path}: refused; it holds more than tensors and plain containers, which could run code; none was run"
        raise UserError(reason, Code.REFUSED, [path]) from error
    except Exception as error:  # whatever a parser makes of bytes that are not what it expects
        raise DamagedCheckpointError(path, error) from error
    return content
