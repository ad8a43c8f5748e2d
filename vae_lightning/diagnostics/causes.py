"""What is wrong with a model or its data, seen from what it was shown: then no word about its units would help."""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.data.loader import as_floats

if TYPE_CHECKING:
    from vae_lightning.evaluation.evaluated import Evaluated

FAR_TOO_NARROW = 100.0
"""Times as large as it says residuals may be on average before the likelihood is called the cause."""
SHOWN = 1_000


def wrong_cause(evaluated: "Evaluated") -> str | None:
    """Return what has to be mended first, in a sentence; None where nothing is seen."""
    likelihood = evaluated.model.likelihood
    pixels = as_floats(evaluated.data.splits["test"].pixels[:SHOWN])
    least, most = float(pixels.min()), float(pixels.max())
    if (likelihood.needs_unit_interval or likelihood.means_in_unit_interval) and (least < 0 or most > 1):
        return f"values reach from {least:.3g} to {most:.3g}, and the decoder's means cannot leave [0, 1]"
    if likelihood.needs_counts and bool((pixels != pixels.round()).any()):
        return "the likelihood is one of counts, and these values are no whole numbers"
    return _misfit(evaluated, pixels)


def _misfit(evaluated: "Evaluated", pixels: Float[Tensor, "n channels height width"]) -> str | None:
    """Return how far residuals are from what the likelihood says of them, where it is no matter of units any more."""
    if evaluated.residuals is None or not evaluated.model.likelihood.score_is_natural:
        return None
    squares = evaluated.residuals.mean.square().mean(0, dtype=torch.float64)
    ratio = float(squares.sum() / evaluated.residuals.blocks.sum().clamp_min(torch.finfo(torch.double).tiny))
    if ratio < FAR_TOO_NARROW:
        return None
    told = f"the data are {ratio:.3g} times as far from the decoder's means, in squares, as the likelihood says"
    whole = bool((pixels == pixels.round()).all()) and 1 < float(pixels.max()) <= 255
    return f"{told}; {'divide by 255 what are pixels of 0 to 255' if whole else 'scale the data, or learn its scale'}"
