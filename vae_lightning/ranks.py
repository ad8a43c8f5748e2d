"""Statistics of the global batch where several processes share it; each function is the identity on one process.

Gradients flow back to every rank. Together with DDP's averaging of gradients over ranks, a loss that is a function
of a global mean gets the gradient that one process with the whole batch would compute.
"""

import torch
from jaxtyping import Float
from torch import Tensor, distributed


def _several() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def mean_over_ranks(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return the mean over ranks of a mean over each rank's equal share of the batch."""
    if not _several():
        return values
    from torch.distributed.nn.functional import all_reduce

    total: Tensor = all_reduce(values)
    return total / distributed.get_world_size()


def gathered_over_ranks(values: Float[Tensor, "rows *shape"]) -> Float[Tensor, "all_rows *shape"]:
    """Return the rows of all ranks, in the order of the ranks."""
    if not _several():
        return values
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(values))
