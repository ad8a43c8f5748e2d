"""The residual test: would one more latent unit pay its way? A trained model's own answer, with an error bar.

Let r = E_{q(z|x)}[score] and J = E[curvature], a block of each pixel, of log p(x|z) by the parameters that the
likelihood names: of an exponential family x - E[mean of p(x|z)] and E[A''(eta(z))]. By the argument of
:mod:`vae_lightning.theory.collapse`, applied at the trained model instead of the collapsed one, a unit that adds a
small u z to the parameters, the same u at every code, raises the weighted ELBO if and only if the largest eigenvalue of
W Cov(r) W', W J W' = I, exceeds the KL weight. Of units whose effect depends on the code, and of what one more unit
would earn, :mod:`vae_lightning.diagnostics.regions` speaks.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vae_lightning.distributions.arithmetic import without_autocast
from vae_lightning.theory.collapse import floored
from vae_lightning.theory.eigenvalues import ROUNDING, leading_eigenpairs, one_thread
from vae_lightning.theory.held_out import FEWEST_ROWS, N_FOLDS, N_JUDGES, fold_of_rows
from vae_lightning.theory.moments import MOST_PIXELS
from vae_lightning.theory.whitening import NO_CURVATURE, whitening_blocks

N_DIRECTIONS = 10
"""Leading directions among which the choosing folds choose."""
N_EIGENVALUES = 40
"""Of the spectrum that are computed."""
MOST_IMAGES = 10_000
"""Whose residuals are kept; of more than ``MOST_PIXELS`` values fewer."""
FEWER_IMAGES = 1_000
MOST_DIRECTIONS = 300
"""Leading ones of many values, within which the test is done: it asks for the largest alone."""

Rows = Float[Tensor, "images values"]
PerSample = Float[Tensor, "samples batch *values"]


class Residuals(NamedTuple):
    """Scores of some images at a trained model, averaged over codes. Two averages of different codes each, so that
    products of one with the other are free of the scatter of the codes."""

    one: Rows
    other: Rows
    curvature: Rows | None
    """Of each image, where there is one value per pixel."""
    blocks: Float[Tensor, "v v pixels"]
    """J: the mean curvature of each pixel's values."""
    images: Int[Tensor, " images"]
    """Which images of the split they are of."""

    @property
    def mean(self) -> Rows:
        return (self.one + self.other) / 2

    @property
    def unpriced(self) -> int:
        """How many changes of a pixel's values have scores, and a curvature that is not above 0."""
        w, priced = whitening_blocks(self.blocks)
        if len(self.blocks) == 1:  # one that is exactly 0 is a saturated pixel's, which the floor is for
            priced = self.blocks[0].T >= 0
        squares = Whitening(w).of_rows(self.mean).square().mean(0, dtype=torch.float64)
        return int((~priced & (squares.reshape(priced.shape) > NO_CURVATURE)).sum())

    def whitened(self) -> "Residuals":
        """Return them multiplied by W, W J W' = I."""
        whitening = Whitening.of(self.blocks, len(self.one))
        return self._replace(one=whitening.of_rows(self.one), other=whitening.of_rows(self.other))


class Whitening(NamedTuple):
    """W, W J W' = I, of the values of each pixel."""

    w: Float[Tensor, "pixels v v"]

    @classmethod
    def of(cls, blocks: Float[Tensor, "v v pixels"], n_images: int) -> "Whitening":
        """Return it of a mean curvature of so many images; of one value per pixel not below what these can tell.

        A change without a curvature, or with a negative one, is left out.
        """
        if len(blocks) > 1:
            w, priced = whitening_blocks(blocks)
            return cls(w * priced.unsqueeze(2))
        curvature = blocks.flatten()
        tiny = torch.finfo(torch.double).tiny
        scale = floored(curvature, n_images).clamp_min(tiny).rsqrt()
        return cls(torch.where(curvature < 0, 0.0, scale).reshape(-1, 1, 1))

    def of_rows(self, rows: Rows) -> Rows:
        """Return W times each row."""
        v, w = self.w.shape[1], self.w.to(rows)
        if v == 1:
            return rows * w.flatten()
        return torch.einsum("pdv,nvp->npd", w, rows.unflatten(1, (v, -1))).flatten(1)

    def back(self, direction: Float[Tensor, " values"]) -> Float[Tensor, " values"]:
        """Return W' times a direction of whitened rows: rows times it are whitened rows times the direction."""
        v, w = self.w.shape[1], self.w.to(direction)
        if v == 1:
            return direction * w.flatten()
        return torch.einsum("pdv,pd->vp", w, direction.unflatten(0, (-1, v))).flatten()


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
    pixel_variance: Float[Tensor, " pixels"] | None
    """F, not below what the images can tell; None where there are several values per pixel."""
    unpriced: int = 0
    """Changes of a pixel's values that have scores and no curvature above 0: of these the test cannot tell."""


def kept_images(n_values: int, n_images: int) -> Bool[Tensor, " images"]:
    """Return whose residuals are kept, evenly spread over a split: of many values per image fewer."""
    most = MOST_IMAGES if n_values <= MOST_PIXELS else FEWER_IMAGES
    kept = torch.zeros(n_images, dtype=torch.bool)
    kept[torch.linspace(0, n_images - 1, min(most, n_images)).long()] = True
    return kept


def residuals_of_batch(
    rows: Int[Tensor, " batch"],
    scores: PerSample,
    curvatures: Float[Tensor, "..."],
    values_per_pixel: int,
    kept: Bool[Tensor, " images"],
) -> Residuals:
    """Return the residuals of those images of a batch that are kept; ``blocks`` is the sum over all of them.

    Args:
        rows: which images of the split these are.
        scores: of at least two samples of their codes.
        curvatures: of the same samples.
        values_per_pixel: v.
        kept: which images of the split are kept.
    """
    v, half = values_per_pixel, len(scores) // 2
    curvature = curvatures.mean(0)
    blocks = curvature.reshape(v, len(rows), v, -1).sum(1, dtype=torch.float64)
    mine = kept.to(rows.device)[rows]
    one, other = (of_half.mean(0).flatten(1)[mine].float() for of_half in (scores[:half], scores[half:]))
    return Residuals(one, other, curvature.flatten(1)[mine].float() if v == 1 else None, blocks, rows[mine])


def joined(batches: Sequence[Residuals], n_images: int) -> Residuals:
    """Return the residuals of all batches of a split of so many images, in its order."""
    one, other, curvature, blocks, images = zip(*batches, strict=True)
    curvatures = [each for each in curvature if each is not None]
    of_all = torch.stack(blocks).sum(0) / n_images
    return Residuals(
        torch.cat(one), torch.cat(other), torch.cat(curvatures) if curvatures else None, of_all, torch.cat(images)
    )


def residual_spectrum(residuals: Residuals) -> ResidualSpectrum:
    """Return the spectrum of W Cov(r) W' and a cross-validated largest eigenvalue.

    A change with scores and a curvature that is not above 0 would pay at any weight to second order; such are left out
    and counted.
    """
    n, unpriced = len(residuals.one), residuals.unpriced
    one, other = residuals.whitened()[:2]
    variance = floored(residuals.blocks.flatten(), n) if len(residuals.blocks) == 1 else None
    if one.shape[1] > MOST_PIXELS:
        with without_autocast(one):
            basis = _basis(torch.cat([one, other]))
            one, other = one @ basis, other @ basis
    mean = (one + other).mean(0, dtype=torch.float64) / 2
    one -= mean.to(one)  # in place: both are new
    other -= mean.to(other)
    fold = fold_of_rows(n).to(one.device)
    with one_thread(), without_autocast(one):
        moments = torch.stack([_products(one, other, fold == index) for index in range(N_FOLDS)])
        share = torch.bincount(fold, minlength=N_FOLDS).to(moments) / n
        eigenvalues = leading_eigenpairs((share.reshape(-1, 1, 1) * moments).sum(0), N_EIGENVALUES)[0]
        if n < FEWEST_ROWS:  # too few images to choose on some and judge on others
            return ResidualSpectrum(eigenvalues, float(eigenvalues[0]), float("inf"), variance, unpriced)
        every, worth = torch.arange(N_FOLDS, device=one.device), []
        for judges in every.split(N_JUDGES):
            choosers = every[~torch.isin(every, judges)]
            directions = leading_eigenpairs(moments[choosers].mean(0), N_DIRECTIONS)[1]
            shown = _along(moments[choosers], directions)
            # Surely large, in every fold: not by one image that is unlike all others.
            best = (shown.mean(0) - 2 * shown.std(0) / len(shown) ** 0.5).argmax()
            worth.append(_along(moments[judges], directions[:, best : best + 1]).flatten())
    judged = torch.cat(worth)
    error = float(judged.std() / len(judged) ** 0.5)
    return ResidualSpectrum(eigenvalues, float(judged.mean()), error, variance, unpriced)


def _products(one: Rows, other: Rows, mine: Bool[Tensor, " images"]) -> Float[Tensor, "d d"]:
    """Return the mean products of one average with the other, made symmetric."""
    product = (one[mine].T @ other[mine]).double() / mine.sum().clamp_min(1)
    return (product + product.T) / 2


def _along(moments: Float[Tensor, "folds d d"], directions: Float[Tensor, "d directions"]) -> Tensor:
    """Return what directions are worth on each fold."""
    return torch.stack([(directions * (moment @ directions)).sum(0) for moment in moments])


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
