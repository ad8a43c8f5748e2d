"""Arithmetic that the parts share: precision, and running statistics.

Log-densities are computed in 32 bits or more, whatever the networks compute in. Held-out images are judged by running
statistics of training batches, so that their numbers do not depend on how they are batched.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

MOMENTUM = 0.1
"""Weight of the newest batch in a running statistic: torch's value for batch normalisation."""
AnyShape = Float[Tensor, "*shape"]


def at_least_float32(values: AnyShape) -> AnyShape:
    """Return float16 and bfloat16 as float32; leave float32 and float64 as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def without_autocast(values: Tensor) -> torch.autocast:
    """Return a context in which matrix products keep the precision of their operands, under mixed precision too."""
    return torch.autocast(values.device.type, enabled=False)


@torch.no_grad()
def update_running_mean(statistic: AnyShape, of_batch: AnyShape, n_seen: Int[Tensor, ""]) -> None:
    """Move a running statistic, in place, by batch number ``n_seen``: a plain mean at first, then by ``MOMENTUM``."""
    weight = torch.clamp(1 / n_seen, min=MOMENTUM)
    statistic.add_((weight * (of_batch - statistic)).to(statistic.dtype))
