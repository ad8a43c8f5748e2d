"""Arrays out of files: ``.npy``, ``.npz`` (also scipy's sparse matrices), ``.pt``, ``.csv``, ``.parquet``."""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from vae_lightning.data.memory import check_fits
from vae_lightning.errors import Code, UserError

TRAINING = ("x_train", "train_images", "train", "training")
TEST = ("x_test", "test_images", "test")
TRAINING_LABELS = ("y_train", "train_labels")
TEST_LABELS = ("y_test", "test_labels")
WHOLE = ("x", "images", "pixels", "data", "values", "arr_0")
LABELS = ("y", "labels", "targets", "target")
NAMES_OF_ARRAYS = f"{WHOLE[0]} and {LABELS[0]}, or {TRAINING[0]} and {TEST[0]}"
SPARSE = {"format", "shape", "data"}
"""Names in a file of scipy's ``save_npz``."""
SUFFIXES = (".npy", ".npz", ".pt", ".pth", ".csv", ".tsv", ".parquet")


class Part(NamedTuple):
    """Values, and their labels where the file has some."""

    values: Any
    labels: Any = None


class Content(NamedTuple):
    """What a file holds: all of the data, or a training part with a test part."""

    training: Part
    test: Part | None = None


def existing(path: str, key: str) -> Path:
    """Return a path. Raises UserError where nothing is there."""
    found = Path(path).expanduser()
    if not found.exists():
        beside = sorted(other.name for other in found.parent.glob("*") if not other.name.startswith("."))[:5]
        there = f"{found.parent} has {', '.join(beside)}" if beside else f"{found.parent} is empty or not there"
        raise UserError(f"{key}={path}: there is no such file; {there}", Code.MISSING, [key, path])
    return found


def read_file(path: str, key: str) -> Content:
    """Return what a file holds. Raises UserError where it cannot be read or does not say what is what."""
    found = existing(path, key)
    if found.suffix not in SUFFIXES:
        message = f"{key}={path}: not a kind of file that is known; it must end in {', '.join(SUFFIXES)}"
        raise UserError(message, Code.INVALID, [key, path])
    check_fits(2 * found.stat().st_size, f"the arrays in {found.name} and a copy", key)
    try:
        return _content(_loaded(found), found, key)
    except (
        OSError,
        ValueError,
        EOFError,
        zipfile.BadZipFile,
        pickle.UnpicklingError,
        RuntimeError,
        ImportError,
    ) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"{key}={path}: cannot be read ({lines[0]})", Code.DAMAGED, [key, path]) from error


def read_array(path: str, key: str) -> Any:
    """Return the one array in a file."""
    content = read_file(path, key)
    if content.test is not None:
        raise UserError(f"{key}={path}: holds several arrays; it must hold one", Code.INVALID, [key, path])
    return content.training.values


def _loaded(path: Path) -> Any:
    """Return an array, a pair, or arrays by name. Nothing that a file holds is run."""
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            if set(archive.files) >= SPARSE:
                from scipy.sparse import load_npz

                return load_npz(path).toarray()
            return {name: archive[name] for name in archive.files}
    if path.suffix in {".pt", ".pth"}:
        return torch.load(path, weights_only=True, map_location="cpu")
    return numbers_of_table(read_table(path), path.name)


def _content(loaded: Any, path: Path, key: str) -> Content:
    if isinstance(loaded, tuple | list) and len(loaded) == 2:
        return Content(Part(*loaded))
    if not isinstance(loaded, Mapping):
        return Content(Part(loaded))
    content = content_of(loaded)
    if content is None:
        message = f"{key}={path}: holds {', '.join(sorted(map(str, loaded)))}; name the arrays {NAMES_OF_ARRAYS}"
        raise UserError(message, Code.INVALID, [key, path])
    return content


def content_of(loaded: Mapping[str, Any]) -> Content | None:
    """Return what arrays by name are; None where their names do not tell."""
    names = set(loaded)

    def one_of(candidates: tuple[str, ...]) -> Any:
        return next((loaded[name] for name in candidates if name in names), None)

    training, test = one_of(TRAINING), one_of(TEST)
    if training is not None and test is not None:
        return Content(Part(training, one_of(TRAINING_LABELS)), Part(test, one_of(TEST_LABELS)))
    labels = one_of(LABELS + TRAINING_LABELS)
    whole = training if training is not None else one_of(WHOLE)
    if whole is None and len(names) == 1:
        whole = loaded[next(iter(names))]
    return None if whole is None else Content(Part(whole, labels))


def read_table(path: Path) -> Any:
    """Return a pandas table."""
    import pandas as pd

    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")


def numbers_of_table(table: Any, name: str) -> npt.NDArray[Any]:
    """Return the columns of a table as numbers. Raises UserError where a column has none, or a row lacks one."""
    words = [str(column) for column in table.columns if table[column].dtype.kind not in "biuf"]
    if words:
        told = (
            f"data.path: columns of {name} that are not numbers: {', '.join(words[:5])}; take them out of the file, or "
        )
        raise UserError(f"{told}name one by data=table data.label_column", Code.INVALID, ["data.path"])
    gaps = table.isna().any()
    if gaps.any():
        column = gaps[gaps].index[0]
        row = int(table[column].isna().to_numpy().argmax())
        message = f"data.path: {int(table.isna().to_numpy().sum())} values of {name} are missing, the first in column "
        raise UserError(f"{message}{column}, row {row} (counted from 0)", Code.NOT_FINITE, ["data.path"])
    return np.asarray(table.to_numpy())
