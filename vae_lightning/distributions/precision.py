"""Log-densities are computed in 32 bits or more, whatever the networks compute in."""

import torch
from jaxtyping import Float
from torch import Tensor


def at_least_float32(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return float16 and bfloat16 as float32; leave float32 and float64 as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def without_autocast(values: Tensor) -> torch.autocast:
    """Return a context in which matrix products keep the precision of their operands, under mixed precision too."""
    return torch.autocast(values.device.type, enabled=False)
