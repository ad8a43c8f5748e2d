"""Files that are whole or not there."""

import json
import os
from pathlib import Path
from typing import Any


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Write beside the target, flush to the disk, then rename: a reader sees the old file or the new one, whole.

    Raises OSError where the disk is full, or the folder cannot be written; nothing is left behind then.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        _flush_folder(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # a write to an open file does not say which
        raise


def _flush_folder(folder: Path) -> None:
    """Make a rename last through a power cut: the name is part of the folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object atomically. Raises ValueError on a number that JSON does not have, OSError as above."""
    write_atomically(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())
