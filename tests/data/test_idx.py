import struct

import numpy as np
import pytest

from vae_lightning.data.idx import decode_idx, encode_idx


def test_bytes_as_the_format_says() -> None:
    array = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    content = struct.pack(">BBBBIII", 0, 0, 8, 3, 1, 2, 3) + bytes(range(6))
    assert encode_idx(array) == content
    assert np.array_equal(decode_idx(content), array)


@pytest.mark.parametrize(
    "content", [b"", b"\0\0", b"\x1f\x8b\x08\x00 gzip", encode_idx(np.zeros((2, 2), np.uint8))[:-1]]
)
def test_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (the only one that it raises)
        decode_idx(content)
