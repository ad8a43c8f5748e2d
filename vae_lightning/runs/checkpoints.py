"""Checkpoints hold tensors and plain containers, and are read as nothing else."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from vae_lightning.errors import UserError

POSITION = ("epoch", "global_step")


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Return a checkpoint's content, on the CPU.

    Raises:
        UserError: it is damaged, is no checkpoint, or holds what only running code could restore; none of it was run.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict) or not {*POSITION, "state_dict"} <= content.keys():
            raise ValueError("not a checkpoint of a run")
    except UnpicklingError as error:
        if " GLOBAL " not in str(error):  # the name under which pickle asks for a class or a function
            raise _damaged(path, error) from error
        raise UserError(
            f"{path}: refused. It holds more than tensors and plain containers, and restoring that could run code; "
            "nothing of it was run. Checkpoints of this project never need it."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, LookupError) as error:
        raise _damaged(path, error) from error
    return content


def _damaged(path: Path, error: Exception) -> UserError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return UserError(
        f"{path}: damaged ({reason}). Remove it to continue from the one before it, "
        "or train afresh by rerun=true, which keeps what is there aside."
    )
