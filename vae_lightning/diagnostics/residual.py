"""The residual test: would one more latent unit pay its way? A trained model's own answer, with an error bar.

Let r = x - E_{q(z|x)}[mean of p(x|z)] and F = E[A''(eta(z))] per pixel. By the argument of
:mod:`vae_lightning.theory.collapse`, applied at the trained model instead of the collapsed one, a unit that adds a
small u z to eta raises the weighted ELBO if and only if the largest eigenvalue of F^{-1/2} Cov(r) F^{-1/2} exceeds the
KL weight.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics import Metric

from vae_lightning.theory.collapse import one_thread

N_FOLDS = 8
"""Images are dealt to these by their row, so that neither batches nor ranks matter; even folds and odd ones are
halves."""
N_DIRECTIONS = 10
"""Directions of one half that are tried on the other."""
FEWEST_IMAGES = 10
"""A pixel's F is taken to be at least what this many images of the split, at the liveliest pixel's variance, would
show."""


class ResidualSpectrum(NamedTuple):
    """Eigenvalues in units of the KL weight: a direction above the weight would pay for a unit."""

    eigenvalues: Float[Tensor, " pixels"]
    """Of the images at hand, descending. The largest is too large on average: it was chosen on the images it is told
    of."""
    largest: float
    """The honest largest one: directions chosen on one half of the images, judged on the other, and the reverse."""
    error: float
    """Standard error of ``largest``."""
    pixel_variance: Float[Tensor, " pixels"]
    """F."""


class ResidualMoments(Metric):
    """Sums residuals and their products over batches and ranks, in double precision, fold by fold."""

    full_state_update = False
    products: Tensor
    sums: Tensor
    variances: Tensor
    n: Tensor

    def __init__(self, n_pixels: int) -> None:
        super().__init__()
        double = torch.float64
        self.add_state("products", torch.zeros(N_FOLDS, n_pixels, n_pixels, dtype=double), dist_reduce_fx="sum")
        self.add_state("sums", torch.zeros(N_FOLDS, n_pixels, dtype=double), dist_reduce_fx="sum")
        self.add_state("variances", torch.zeros(n_pixels, dtype=double), dist_reduce_fx="sum")
        self.add_state("n", torch.zeros(N_FOLDS, dtype=double), dist_reduce_fx="sum")

    def update(
        self,
        rows: Int[Tensor, " batch"],
        pixels: Float[Tensor, "batch channels height width"],
        means: Float[Tensor, "samples batch channels height width"],
        variances: Float[Tensor, "samples batch channels height width"],
    ) -> None:
        """Add images, the decoder's means for some samples of their codes, and its variances A'' there.

        The mean over L samples is not yet the mean over q: what it scatters is estimated from the samples themselves
        and taken off, so that the products are unbiased from L = 2 on.
        """
        n_samples = len(means)
        mean = means.mean(0)
        residuals = (pixels - mean).flatten(1)
        scatter = (means - mean).flatten(2) / (n_samples * (n_samples - 1)) ** 0.5
        folds = rows % N_FOLDS
        for fold in range(N_FOLDS):
            mine = folds == fold
            residual, within = residuals[mine], scatter[:, mine].flatten(0, 1)
            self.products[fold] += (residual.T @ residual - within.T @ within).double()
            self.sums[fold] += residual.sum(0).double()
            self.n[fold] += int(mine.sum())
        self.variances += variances.mean(0).flatten(1).sum(0).double()

    def compute(self) -> ResidualSpectrum:
        return residual_spectrum(self.products, self.sums, self.n, self.variances / self.n.sum())


def residual_spectrum(
    products: Float[Tensor, "folds pixels pixels"],
    sums: Float[Tensor, "folds pixels"],
    n: Float[Tensor, " folds"],
    variance: Float[Tensor, " pixels"],
) -> ResidualSpectrum:
    """Return the spectrum of F^{-1/2} Cov(r) F^{-1/2} and a cross-validated largest eigenvalue."""
    n_images = n.sum()
    # A pixel that hardly an image shows has a variance near 0, and one image that shows it would seem to pay for a
    # unit.
    scale = variance.clamp_min(FEWEST_IMAGES / n_images * variance.max()).clamp_min(1e-30).rsqrt()
    mean = sums.sum(0) / n_images

    def scaled(second_moment: Tensor) -> Tensor:
        return scale.unsqueeze(1) * (second_moment - torch.outer(mean, mean)) * scale

    with one_thread():
        eigenvalues = torch.linalg.eigvalsh(scaled(products.sum(0) / n_images)).flip(0)
        halves = [_judged(products, n, scaled, chosen_on=half) for half in (0, 1)]
    largest = sum(value for value, _ in halves) / 2
    error = sum(error**2 for _, error in halves) ** 0.5 / 2
    return ResidualSpectrum(eigenvalues, largest, error, variance)


def _judged(products: Tensor, n: Tensor, scaled: Callable[[Tensor], Tensor], chosen_on: int) -> tuple[float, float]:
    """Choose directions on the even folds or the odd, and return the best one's eigenvalue on the others, with its
    error."""
    chosen, judges = slice(chosen_on, None, 2), slice(1 - chosen_on, None, 2)
    _, vectors = torch.linalg.eigh(scaled(products[chosen].sum(0) / n[chosen].sum()))
    directions = vectors[:, -N_DIRECTIONS:]
    by_fold = torch.stack(
        [
            (directions * (scaled(product / count.clamp_min(1)) @ directions)).sum(0)
            for product, count in zip(products[judges], n[judges], strict=True)
        ]
    )
    means, errors = by_fold.mean(0), by_fold.std(0) / len(by_fold) ** 0.5
    best = (means - 2 * errors).argmax()  # surely large, in every fold: not by one image that is unlike all others
    return float(means[best]), float(errors[best])
