import gzip
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from vae_lightning.data.catalogue import TEST_LABELS, TRAIN_IMAGES
from vae_lightning.data.idx import decode_idx
from vae_lightning.data.wheel import files_from_pickle


def test_train_and_validation_parts_are_joined_and_the_bytes_come_back() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 784)).astype(np.uint8)
    labels = np.arange(6)
    scaled = pixels.astype(np.float32) / 256
    parts = tuple((scaled[rows], labels[rows]) for rows in (slice(0, 3), slice(3, 5), slice(5, 6)))
    files = files_from_pickle(gzip.compress(pickle.dumps(parts, protocol=4)))
    assert np.array_equal(decode_idx(files[TRAIN_IMAGES]), pixels[:5].reshape(5, 28, 28))
    assert decode_idx(files[TEST_LABELS]).tolist() == [5]


class Malicious:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch executed-by-a-pickle",)


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(pickle.dumps(Malicious())),
        gzip.compress(pickle.dumps({"not": "three parts"})),
        gzip.compress(b"not a pickle"),
        b"not gzip",
    ],
    ids=["code", "other parts", "no pickle", "not gzip"],  # the bytes of gzip hold the time, which differs by worker
)
def test_what_is_not_arrays_is_refused_and_not_executed(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError):  # noqa: PT011 (what sends a fetch on to its next source)
        files_from_pickle(content)
    assert not list(tmp_path.iterdir())
