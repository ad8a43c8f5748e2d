"""The inverse of an increasing function where it has no closed form."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

HALVINGS = 100
"""From a bracket of any practical width down to neighbouring numbers of double precision."""


def inverse_of_increasing(
    function: Callable[[Tensor], Tensor], targets: Float[Tensor, "*shape"], lower: float, upper: float
) -> Float[Tensor, "*shape"]:
    """Return x in [lower, upper] with function(x) = target, by bisection in double precision, elementwise."""
    targets = targets.double()
    low, high = torch.full_like(targets, lower), torch.full_like(targets, upper)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        below = function(middle) < targets
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return 0.5 * (low + high)
