"""The rows that the collapse monitor looks at, taken from batches that pass by."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vae_lightning.errors import Code, UserError
from vae_lightning.library.rows import NAMES_OF_VALUES


def values_of_batch(batch: Any) -> Tensor:
    """Return a copy of the values of a batch that may have labels beside them. Raises UserError where it has none."""
    found = batch
    while isinstance(found, tuple | list) and found:
        found = found[0]
    if isinstance(found, Mapping):
        found = next((found[name] for name in NAMES_OF_VALUES if name in found), found)
    if not isinstance(found, Tensor):
        message = f"x: no rows can be told in a batch that is a {type(batch).__name__}; give x= rows as encode takes"
        raise UserError(f"{message} them", Code.INVALID, ["x"])
    return found.detach().cpu().clone()
