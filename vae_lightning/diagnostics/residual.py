"""The residual test: would one more latent unit pay its way? A trained model's own answer, with an error bar.

Let r = E_{q(z|x)}[score] and F = E[curvature] per pixel, of log p(x|z) by the parameter eta that the likelihood
names: of an exponential family x - E[mean of p(x|z)] and E[A''(eta(z))]. By the argument of
:mod:`vae_lightning.theory.collapse`, applied at the trained model instead of the collapsed one, a unit that adds a
small u z to eta raises the weighted ELBO if and only if the largest eigenvalue of F^{-1/2} Cov(r) F^{-1/2} exceeds the
KL weight.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vae_lightning.diagnostics.over_images import Sums
from vae_lightning.distributions.arithmetic import without_autocast
from vae_lightning.theory.collapse import floored, leading_eigenpairs, one_thread

N_FOLDS = 8
"""Images are dealt to these by their row, so that neither batches nor ranks matter."""
N_JUDGES = 2
"""Folds that judge a direction at a time; the others choose it."""
N_DIRECTIONS = 10
"""Leading directions among which the choosing folds choose."""
N_EIGENVALUES = 40
"""Of the spectrum that are computed."""
MOST_PIXELS = 4096
"""The sums take 64 bytes for each pair of pixels, and each eigenvector some hundred passes over them."""


PerSample = Float[Tensor, "samples batch channels height width"]


class ResidualSpectrum(NamedTuple):
    """Eigenvalues in units of the KL weight: a direction above the weight would pay for a unit.

    The true largest one lies between the two that are told: ``largest`` is too small where few images leave the
    direction uncertain, ``eigenvalues[0]`` is too large, having been chosen on the images it is told of.
    """

    eigenvalues: Float[Tensor, " directions"]
    """The largest ones, of the images at hand, descending."""
    largest: float
    """What directions chosen on some folds are worth on the others."""
    error: float
    """Standard error of ``largest``; infinite where there are too few images to tell."""
    pixel_variance: Float[Tensor, " pixels"]
    """F, not below what the images can tell."""


class ResidualMoments(Sums):
    """Sums residuals and their products, fold by fold."""

    products: Tensor
    sums: Tensor
    variances: Tensor
    n: Tensor

    def __init__(self, n_pixels: int) -> None:
        folds, pixels = (N_FOLDS,), (n_pixels,)
        super().__init__(products=folds + pixels + pixels, sums=folds + pixels, variances=pixels, n=folds)

    def update(self, rows: Int[Tensor, " batch"], scores: PerSample, curvatures: PerSample) -> None:
        """Add images by the likelihood's scores and curvatures for some samples of their codes.

        The mean over L samples is not yet the mean over q; so the products are those of different samples, which are
        unbiased from L = 2 on: sum_{j<l} s_j s_l' / (L (L - 1) / 2), made symmetric.
        """
        n_samples = len(scores)
        residuals = scores.mean(0).flatten(1)
        earlier = scores.cumsum(0)[:-1].flatten(2)
        later = scores[1:].flatten(2)
        folds = rows % N_FOLDS
        with without_autocast(scores):
            for fold in range(N_FOLDS):
                mine = folds == fold
                products = earlier[:, mine].flatten(0, 1).T @ later[:, mine].flatten(0, 1)
                self.products[fold] += (products + products.T).double() / (n_samples * (n_samples - 1))
                self.sums[fold] += residuals[mine].sum(0).double()
                self.n[fold] += int(mine.sum())
        self.variances += curvatures.mean(0).flatten(1).sum(0).double()

    def compute(self) -> ResidualSpectrum:
        return residual_spectrum(self.products, self.sums, self.n, self.variances / self.n.sum())


def residual_spectrum(
    products: Float[Tensor, "folds pixels pixels"],
    sums: Float[Tensor, "folds pixels"],
    n: Float[Tensor, " folds"],
    variance: Float[Tensor, " pixels"],
) -> ResidualSpectrum:
    """Return the spectrum of F^{-1/2} Cov(r) F^{-1/2} and a cross-validated largest eigenvalue."""
    n_images = int(n.sum())
    variance = floored(variance, n_images)
    scale = variance.clamp_min(torch.finfo(variance.dtype).tiny).rsqrt()
    mean = sums.sum(0) / n_images

    def second_moment(folds: Tensor) -> Tensor:
        """Return the scaled second moment about the mean of all images."""
        count = n[folds].sum()
        cross = torch.outer(sums[folds].sum(0) / count, mean)
        moment = products[folds].sum(0) / count - cross - cross.T + torch.outer(mean, mean)
        return scale.unsqueeze(1) * moment * scale

    def by_fold(folds: Tensor, directions: Tensor) -> Float[Tensor, "folds directions"]:
        """Return what directions are worth on each fold: u' M u of its second moment M, which is not formed."""
        scaled = scale.unsqueeze(1) * directions
        along_mean = mean @ scaled
        found = []
        for fold in folds.tolist():
            of_products = (scaled * (products[fold] @ scaled)).sum(0) / n[fold]
            found.append(of_products + along_mean * (along_mean - 2 * (sums[fold] / n[fold]) @ scaled))
        return torch.stack(found)

    every = torch.arange(len(n), device=n.device)
    with one_thread():
        eigenvalues = leading_eigenpairs(second_moment(every), N_EIGENVALUES)[0]
        if int(n.min()) < 2:  # too few images to choose on some and judge on others
            return ResidualSpectrum(eigenvalues, float(eigenvalues[0]), float("inf"), variance)
        worth = []
        for judges in every.split(N_JUDGES):
            choosers = every[~torch.isin(every, judges)]
            directions = leading_eigenpairs(second_moment(choosers), N_DIRECTIONS)[1]
            shown = by_fold(choosers, directions)
            # Surely large, in every fold: not by one image that is unlike all others.
            best = (shown.mean(0) - 2 * shown.std(0) / len(shown) ** 0.5).argmax()
            worth.append(by_fold(judges, directions[:, best : best + 1]).flatten())
    judged = torch.cat(worth)
    return ResidualSpectrum(eigenvalues, float(judged.mean()), float(judged.std() / len(judged) ** 0.5), variance)
