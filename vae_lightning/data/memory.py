"""Whether data fit into the memory that there is."""

from pathlib import Path

from vae_lightning.errors import Code, UserError

MEMINFO = Path("/proc/meminfo")
SHARE = 0.8
"""Of what is available; the rest is for the model."""


def available_bytes() -> int | None:
    """Return how much memory can be had without swapping; None where the system does not say."""
    try:
        lines = MEMINFO.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None


def check_fits(n_bytes: int, what: str, key: str) -> None:
    """Raise UserError where data of so many bytes do not fit into memory."""
    available = available_bytes()
    if available is not None and n_bytes > SHARE * available:
        message = (
            f"{key}: {what} need {n_bytes / 2**30:.1f} GiB, and {available / 2**30:.1f} GiB of memory are available"
        )
        raise UserError(message, Code.INCOMPATIBLE, [key])
