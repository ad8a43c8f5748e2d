"""Statistics of training batches by which held-out images are judged, so that these do not depend on their batches."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

MOMENTUM = 0.1
"""Weight of the newest batch in a running statistic: torch's value for batch normalisation."""


def running_weight(n_seen: Int[Tensor, ""]) -> Float[Tensor, ""]:
    """Return the weight of batch number ``n_seen``: a plain mean of the first ones, then ``MOMENTUM``."""
    return torch.clamp(1 / n_seen, min=MOMENTUM)
