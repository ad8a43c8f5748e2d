"""What is imported when it is asked for, because not everybody has it."""

import importlib
from typing import Any

from vae_lightning.errors import Code, UserError


def needed(name: str, for_what: str) -> Any:
    """Return a package. Raises UserError that names it where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        message = f"{for_what} needs {name}, which is not installed: pip install {name}"
        raise UserError(message, Code.UNAVAILABLE, [name]) from error
