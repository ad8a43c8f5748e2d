"""The rows that the collapse monitor looks at, taken from batches that pass by."""

from contextlib import suppress
from typing import Any

from torch import Tensor

from vae_lightning.errors import Code, UserError
from vae_lightning.library.rows import values_of_item


def values_of_batch(batch: Any) -> Tensor:
    """Return a copy of the values of a batch that may have labels beside them. Raises UserError where it has none."""
    found = batch
    with suppress(UserError):
        found = values_of_item(batch, "x")
    if not isinstance(found, Tensor):
        message = f"x: no rows can be told in a batch that is a {type(batch).__name__}; give x= rows as encode takes"
        raise UserError(f"{message} them", Code.INVALID, ["x"])
    return found.detach().cpu().clone()
