"""How one and the same training reads in the losses of other code."""

from typing import NamedTuple


class Convention(NamedTuple):
    """A loss as other code writes it, and the weight in it that is this configuration."""

    loss: str
    weight: float


def gaussian_conventions(kl_weight: float, variance: float, n_pixels: int, latent_dim: int) -> list[Convention]:
    """Return what ``kl_weight`` and sigma^2 are elsewhere: losses that differ from ours by a factor only.

    Ours is sum (x - xh)^2 / (2 sigma^2) + kl_weight KL. Sums are over pixels or units, all are means over the batch.
    """
    critical = kl_weight * variance
    return [
        Convention("sum (x - xh)² + w KL", 2 * critical),
        Convention("½ sum (x - xh)² + w KL", critical),
        Convention("mean (x - xh)² + w KL", 2 * critical / n_pixels),
        Convention("mean (x - xh)² + w mean KL", 2 * critical * latent_dim / n_pixels),
    ]


def bernoulli_conventions(kl_weight: float, n_pixels: int, latent_dim: int) -> list[Convention]:
    """Return the same for the cross-entropy of a Bernoulli decoder."""
    return [
        Convention("sum BCE + w KL", kl_weight),
        Convention("mean BCE + w KL", kl_weight / n_pixels),
        Convention("mean BCE + w mean KL", kl_weight * latent_dim / n_pixels),
    ]
