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
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from vae_lightning.diagnostics.over_images import Sums
from vae_lightning.distributions.arithmetic import without_autocast
from vae_lightning.theory.collapse import floored
from vae_lightning.theory.moments import MOST_PIXELS, ROUNDING, leading_eigenpairs, one_thread

N_FOLDS = 8
"""Images are dealt to these by their row, so that neither batches nor ranks matter."""
N_JUDGES = 2
"""Folds that judge a direction at a time; the others choose it."""
N_DIRECTIONS = 10
"""Leading directions among which the choosing folds choose."""
N_EIGENVALUES = 40
"""Of the spectrum that are computed."""
MOST_IMAGES = 1_000
"""Of images of more than ``MOST_PIXELS`` pixels, whose residuals are kept themselves."""
MOST_DIRECTIONS = 300
"""Leading ones of those residuals, within which the test is done: it asks for the largest alone."""


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


class ResidualRows(Metric):
    """The same of images of many pixels: keeps the residuals of the first images, not their products.

    The residuals of two halves of the samples stand for the two factors of each product. They all lie in a space of a
    few hundred dimensions or, where there are more, nearly so; in a basis of it the products are small.
    """

    full_state_update = False
    one: list[Tensor]
    other: list[Tensor]
    rows: list[Tensor]
    variances: Tensor
    n: Tensor

    def __init__(self, n_pixels: int) -> None:
        super().__init__()
        for name in ("one", "other", "rows"):
            self.add_state(name, [], dist_reduce_fx="cat")
        self.add_state("variances", torch.zeros(n_pixels, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("n", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, rows: Int[Tensor, " batch"], scores: PerSample, curvatures: PerSample) -> None:
        """Add images by the likelihood's scores and curvatures for at least two samples of their codes."""
        self.variances += curvatures.mean(0).flatten(1).sum(0).double()
        self.n += len(rows)
        first = rows < MOST_IMAGES
        half = len(scores) // 2
        self.one.append(scores[:half].mean(0).flatten(1)[first].float())
        self.other.append(scores[half:].mean(0).flatten(1)[first].float())
        self.rows.append(rows[first])

    def compute(self) -> ResidualSpectrum:
        one, other, rows = (dim_zero_cat(state) for state in (self.one, self.other, self.rows))
        variance = floored(self.variances / self.n, int(self.n))
        scale = variance.clamp_min(torch.finfo(variance.dtype).tiny).rsqrt().to(one)
        one, other = one * scale, other * scale
        basis = _basis(torch.cat([one, other]))
        one, other = ((residuals @ basis).double() for residuals in (one, other))
        products = torch.zeros(N_FOLDS, basis.shape[1], basis.shape[1], dtype=torch.float64, device=one.device)
        sums, n = products.new_zeros(N_FOLDS, basis.shape[1]), products.new_zeros(N_FOLDS)
        for fold in range(N_FOLDS):
            mine = rows % N_FOLDS == fold
            product = one[mine].T @ other[mine]
            products[fold] = (product + product.T) / 2
            sums[fold] = (one[mine] + other[mine]).sum(0) / 2
            n[fold] = int(mine.sum())
        found = residual_spectrum(products, sums, n, torch.ones_like(sums[0]))
        return found._replace(pixel_variance=variance)


def _basis(rows: Float[Tensor, "rows pixels"]) -> Float[Tensor, "pixels directions"]:
    """Return orthonormal columns that span the rows, or what is largest of them: by the products of the rows."""
    with one_thread():
        values, vectors = torch.linalg.eigh((rows @ rows.T).double())
    values, vectors = values.flip(0)[:MOST_DIRECTIONS], vectors.flip(1)[:, :MOST_DIRECTIONS]
    kept = values > ROUNDING * values[0].clamp_min(torch.finfo(values.dtype).tiny)
    kept[0] = True  # also of residuals that are all zero
    directions = rows.T @ (vectors[:, kept] * values[kept].clamp_min(1e-30).rsqrt()).to(rows)
    basis: Tensor = torch.linalg.qr(directions).Q
    return basis


def residual_moments(n_pixels: int) -> ResidualMoments | ResidualRows:
    """Return what gathers the residuals of images of so many pixels."""
    return ResidualMoments(n_pixels) if n_pixels <= MOST_PIXELS else ResidualRows(n_pixels)


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
