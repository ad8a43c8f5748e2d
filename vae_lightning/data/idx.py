"""The IDX format of the MNIST family: a magic number, the sizes of the dimensions, then bytes (LeCun et al. 1998)."""

import numpy as np
import numpy.typing as npt

UNSIGNED_BYTE = 0x08


def decode_idx(content: bytes) -> npt.NDArray[np.uint8]:
    """Return the array in an IDX file of unsigned bytes. Raise ValueError on anything else."""
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != UNSIGNED_BYTE:
        raise ValueError("not an IDX file of unsigned bytes")
    n_dimensions = content[3]
    header = 4 + 4 * n_dimensions
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", n_dimensions, offset=4))
    if len(content) - header != int(np.prod(shape)):
        raise ValueError(f"{len(content) - header} bytes where the header {shape} needs {int(np.prod(shape))}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def encode_idx(array: npt.NDArray[np.uint8]) -> bytes:
    """Return the IDX file that holds ``array``: the inverse of :func:`decode_idx`."""
    header = bytes([0, 0, UNSIGNED_BYTE, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + np.ascontiguousarray(array).tobytes()
