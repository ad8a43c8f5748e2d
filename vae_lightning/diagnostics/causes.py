"""What is wrong with a model or its data, seen from what it was shown: then no word about its units would help."""

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.diagnostics.residual import Residuals
from vae_lightning.distributions import Likelihood

FAR_TOO_NARROW = 100.0
"""Times as large as it says residuals may be on average before the likelihood is called the cause."""
SHOWN = 1_000
"""Images that are enough to see it."""


def wrong_cause(
    likelihood: Likelihood, pixels: Float[Tensor, "n channels height width"], residuals: Residuals | None
) -> str | None:
    """Return what has to be mended first, in a sentence; None where nothing is seen.

    Args:
        likelihood: how the decoder's values are read.
        pixels: some of the images.
        residuals: of the trained model; None where they cannot be had.
    """
    least, most = float(pixels.min()), float(pixels.max())
    if (likelihood.needs_unit_interval or likelihood.means_in_unit_interval) and (least < 0 or most > 1):
        return f"values reach from {least:.3g} to {most:.3g}, and the decoder's means cannot leave [0, 1]"
    if likelihood.needs_counts and bool((pixels != pixels.round()).any()):
        return "the likelihood is one of counts, and these values are no whole numbers"
    if residuals is None or not likelihood.score_is_natural:
        return None
    return _misfit(residuals, pixels)


def _misfit(residuals: Residuals, pixels: Float[Tensor, "n channels height width"]) -> str | None:
    """Return how far residuals are from what the likelihood says of them, where it is no matter of units any more."""
    squares = residuals.mean.square().mean(0, dtype=torch.float64)
    ratio = float(squares.sum() / residuals.blocks.sum().clamp_min(torch.finfo(torch.double).tiny))
    if ratio < FAR_TOO_NARROW:
        return None
    told = f"the data are {ratio:.3g} times as far from the decoder's means, in squares, as the likelihood says"
    whole = bool((pixels == pixels.round()).all()) and 1 < float(pixels.max()) <= 255
    return f"{told}; {'divide by 255 what are pixels of 0 to 255' if whole else 'scale the data, or learn its scale'}"
