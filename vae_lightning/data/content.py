"""A digest of the data: a file that changed is other data, the same file under another path is the same.

Digests of files are remembered by size and time of change, so that a large file is read once.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from vae_lightning.data.files import existing
from vae_lightning.data.splits import Splits
from vae_lightning.files import write_atomically

LENGTH = 16
"""Hexadecimal digits."""
YOUNG_S = 2.0
"""A file that changed so shortly ago may change again without a new time: its digest is not remembered."""
CHUNK = 1 << 20


def digest_of_files(paths: dict[str, str]) -> str:
    """Return the digest of files and folders, each given by the key that names it.

    Raises UserError where one is not there.
    """
    memory = _Memory()
    text = {key: _digest_of_path(existing(path, f"data.{key}"), memory) for key, path in paths.items()}
    memory.write()
    return _of_text(json.dumps(text, sort_keys=True))


def digest_of_splits(splits: Splits) -> str:
    """Return the digest of two parts in memory."""
    found = hashlib.sha256()
    for images in splits:
        for tensor in images:
            found.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()[:LENGTH]


def _of_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def _digest_of_path(path: Path, memory: "_Memory") -> str:
    if path.is_file():
        return memory.digest(path)
    names = {str(file.relative_to(path)): memory.digest(file) for file in _files_below(path)}
    return _of_text(json.dumps(names, sort_keys=True))


def _files_below(folder: Path) -> Iterator[Path]:
    yield from sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))


class _Memory:
    """Digests of files by path, size and times, in the user's cache folder. Without one nothing is remembered."""

    def __init__(self) -> None:
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        self.path = Path(root) / "vae-lightning" / "digests.json"
        try:
            self.known: dict[str, list[object]] = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self.known = {}
        self.changed = False

    def digest(self, file: Path) -> str:
        about = file.stat()
        stamp: list[object] = [about.st_size, about.st_mtime_ns, about.st_ctime_ns]
        key = str(file.absolute())
        known = self.known.get(key)
        if isinstance(known, list) and known[:-1] == stamp:
            return str(known[-1])
        found = _digest_of_file(file)
        if time.time() - max(about.st_mtime, about.st_ctime) > YOUNG_S:
            self.known[key] = [*stamp, found]
            self.changed = True
        return found

    def write(self) -> None:
        if not self.changed:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, json.dumps(self.known).encode())
        except OSError:  # a read-only home: the next start reads the files again
            return


def _digest_of_file(file: Path) -> str:
    found = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()
