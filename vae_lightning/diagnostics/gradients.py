"""How noisy a gradient is: its variance over draws, and what is left of its square without it."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class GradientMoments(NamedTuple):
    """Sums over all weights, in squares of the loss's units."""

    variance: float
    """E |g - E g|^2, unbiased."""
    signal: float
    """|E g|^2, unbiased: it may be below 0 where noise is all there is."""


def gradient_moments(gradients: Iterable[Float[Tensor, " weights"]]) -> GradientMoments:
    """Return variance and squared mean of independent draws of one gradient, two at least.

    Their ratio is the square of a signal-to-noise ratio, which Rainforth et al. 2018 take weight by weight.

    Raises:
        ValueError: there are fewer than two draws.

    Example:
        >>> import torch
        >>> gradient_moments([torch.tensor([1.0, 2.0]), torch.tensor([3.0, 2.0])])
        GradientMoments(variance=2.0, signal=7.0)
    """
    n_draws, mean, deviations = 0, torch.zeros(()), torch.zeros(())
    for gradient in gradients:  # Welford 1962: one pass, and no difference of large numbers
        n_draws += 1
        change = gradient.double() - mean
        mean = mean + change / n_draws
        deviations = deviations + change * (gradient.double() - mean)
    if n_draws < 2:
        raise ValueError(f"{n_draws} draws: a variance needs two at least")
    variance = float(deviations.sum()) / (n_draws - 1)
    return GradientMoments(variance, float(mean.square().sum()) - variance / n_draws)
