"""Statistics of training batches by which held-out images are judged, so that these do not depend on their batches."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

MOMENTUM = 0.1
"""Weight of the newest batch in a running statistic: torch's value for batch normalisation."""
OfBatch = Float[Tensor, "*shape"]


@torch.no_grad()
def update_running_mean(statistic: OfBatch, of_batch: OfBatch, n_seen: Int[Tensor, ""]) -> None:
    """Move a running statistic, in place, by batch number ``n_seen``: a plain mean at first, then by ``MOMENTUM``."""
    weight = torch.clamp(1 / n_seen, min=MOMENTUM)
    statistic.add_((weight * (of_batch - statistic)).to(statistic.dtype))
