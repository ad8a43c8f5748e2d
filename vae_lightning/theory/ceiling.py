"""The KL that no network can exceed: what a code could at most gain, over what a nat costs.

For a loss R + w KL with w > 0, at any global optimum, KL <= (R_0 - R_min) / w: R_0 the loss of the best constant
output, which is there with KL = 0, and R_min a lower bound of R on these images. It holds for means over the training
images, the final weight, a converged optimum, a posterior family that contains the prior (else its least KL is added),
and a decoder that can give that constant output; not for a loss that pays for KL or that charges something else than w
for a nat.
"""

import torch

from vae_lightning.estimates import Mean
from vae_lightning.theory.code_free import CodeFree
from vae_lightning.theory.moments import MomentsOfMany, PixelMoments

IMAGES_AT_ONCE = 1_000


def gaussian_gain(total_variance: float, variance: float) -> Mean:
    """Return R_0 - R_min of a Gaussian decoder of one fixed variance: the trace of the data's covariance / (2 sigma^2).

    It is of all training images, and so without an error.
    """
    return Mean(total_variance / (2 * variance), 0.0)


@torch.no_grad()
def greatest_gain(moments: PixelMoments | MomentsOfMany, code_free: CodeFree) -> Mean | None:
    """Return R_0 - R_min: the mean over images of what the greatest log p(x|z) is above that of the code-free decoder.

    None where nothing bounds log p(x|z): a density whose scale is learned, or the decoder's.
    """
    likelihood, values = code_free.likelihood, code_free.values
    gains = []
    for pixels in moments.shown.some(numbers_each=2 * values.numel()).split(IMAGES_AT_ONCE):
        greatest = likelihood.greatest_log_prob(pixels)
        if greatest is None:
            return None
        gains.append(greatest - likelihood.log_prob(pixels, values.to(pixels).expand(len(pixels), -1, -1, -1)))
    return Mean.of(torch.cat(gains))
