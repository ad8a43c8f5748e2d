"""Moments of the pixels and their leading eigenvalues: by the whole covariance matrix where there are few pixels, and
without ever forming it where there are many."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from vae_lightning.data import Images
from vae_lightning.data.loader import as_floats
from vae_lightning.data.preparation import TRAINING_PART, Binarize, binarized
from vae_lightning.theory.eigenvalues import Covariance, PerDirection, descending, leading_of_operator, one_thread
from vae_lightning.theory.held_out import (
    FEWEST_ROWS,
    N_FOLDS,
    HeldOut,
    SecondMoments,
    fold_of_rows,
    held_out_by_folds,
    held_out_by_rows,
)

PerPixel = Float[Tensor, " pixels"]
IMAGES_AT_ONCE = 1_000
"""Of each fold, summed in single precision, which so few images leave exact to about 1e-6; the sums of sums are in
double."""
MOST_PIXELS = 1_024
"""Up to so many the covariance matrix is formed; it takes 8 MB, and all its eigenvalues 0.2 s."""
FEW_IMAGES = 3_000
"""Up to so many the matrix of their products has the same eigenvalues at less cost."""
ROWS_AT_ONCE = 50_000_000
"""Numbers of a piece of the images that is in memory as floats: 200 MB."""
MOST_SHOWN = 10_000
"""Images of which something is asked that their moments do not tell."""


class Shown(NamedTuple):
    """The images of a split, and how the decoder is shown them."""

    pixels: Tensor
    binarize: Binarize

    def some(self, most: int = MOST_SHOWN, numbers_each: int = 1) -> Float[Tensor, "n channels height width"]:
        """Return up to ``most`` images, evenly spread over the split; of many numbers each fewer.

        Under dynamic binarisation they are drawn once.
        """
        n = min(len(self.pixels), most, max(FEWEST_ROWS, ROWS_AT_ONCE // numbers_each))
        pixels = self.pixels[torch.linspace(0, len(self.pixels) - 1, n).long()].cpu()
        return as_floats(binarized(pixels, TRAINING_PART) if self.binarize == "dynamic" else pixels)


class PixelMoments(NamedTuple):
    """Mean and covariance of what the decoder is shown."""

    mean: PerPixel
    covariance: Covariance
    n_images: int
    shown: Shown
    folds: SecondMoments
    """Second moments about the mean of eighths of the images."""

    @property
    def variance(self) -> PerPixel:
        return self.covariance.diagonal()

    def leading(self, n: int, scale: PerPixel | None = None) -> PerDirection:
        """Return the eigenvalues of the covariance, each pixel multiplied by a scale: all of them, descending."""
        return descending(scaled(self.covariance, scale))

    def held_out(self, n: int, scale: PerPixel | None = None) -> HeldOut | None:
        """Return what the ``n`` leading directions are worth on images that did not choose them; None of too few."""
        if self.n_images < FEWEST_ROWS:
            return None
        return held_out_by_folds(torch.stack([scaled(fold, scale) for fold in self.folds]), n)


def scaled(covariance: Covariance, scale: PerPixel | None) -> Float[Tensor, "kept kept"]:
    """Return the covariance of pixels that are multiplied by a scale, without those whose scale is 0."""
    if scale is None:
        return covariance
    kept = scale > 0
    return scale[kept].unsqueeze(1) * covariance[kept][:, kept] * scale[kept]


class MomentsOfMany(NamedTuple):
    """The same of images of many pixels: the covariance is what the images do to a vector."""

    mean: PerPixel
    variance: PerPixel
    n_images: int
    shown: Shown
    noise: PerPixel | None
    """What each pixel has of its own beside what the images show, under dynamic binarisation."""

    def leading(self, n: int, scale: PerPixel | None = None) -> PerDirection:
        """Return the ``n`` largest eigenvalues of the covariance, each pixel multiplied by a scale, descending."""
        scale = torch.ones_like(self.mean) if scale is None else scale
        with one_thread():
            if self.noise is None and self.n_images <= FEW_IMAGES:
                products = torch.zeros(self.n_images, self.n_images, dtype=torch.float64)
                for rows in self._pieces_of_pixels(scale):
                    products += (rows @ rows.T).double()
                return descending(products / self.n_images)[:n]
            total = float((scale.square() * self.variance).sum())
            return leading_of_operator(lambda v: self._times(v, scale), len(scale), n, total)

    def held_out(self, n: int, scale: PerPixel | None = None) -> HeldOut | None:
        """Return what the ``n`` leading directions are worth on images that did not choose them; None of too few."""
        if self.n_images < FEWEST_ROWS:
            return None
        rows = self.shown.some(2 * FEW_IMAGES, len(self.mean)).flatten(1) - self.mean.float()
        return held_out_by_rows(rows if scale is None else rows * scale.float(), n)

    def _pieces_of_pixels(self, scale: PerPixel) -> Iterator[Tensor]:
        """Yield centred and scaled images, some of their pixels at a time."""
        flat = self.shown.pixels.flatten(1)
        for columns in torch.arange(len(scale)).split(max(1, ROWS_AT_ONCE // self.n_images)):
            yield (as_floats(flat[:, columns]) - self.mean[columns].float()) * scale[columns].float()

    def _times(self, vector: npt.NDArray[np.float64], scale: PerPixel) -> npt.NDArray[np.float64]:
        """Return the scaled covariance times a vector."""
        scaled = torch.from_numpy(vector).flatten() * scale
        along_mean = float(self.mean @ scaled)
        found = torch.zeros_like(self.mean)
        for piece in self.shown.pixels.split(max(1, ROWS_AT_ONCE // len(scale))):
            rows = as_floats(piece).flatten(1)
            weights = rows @ scaled.float() - along_mean
            found += (weights @ rows).double() - float(weights.sum()) * self.mean
        found /= self.n_images
        if self.noise is not None:
            found += self.noise * scaled
        return (scale * found).numpy()


def pixel_moments(images: Images, binarize: Binarize) -> PixelMoments | MomentsOfMany:
    """Return the moments of a split, dividing by the number of images.

    Under dynamic binarisation each pixel is a fresh Bernoulli draw: its mean and its covariance with other pixels are
    those of the grey images, its own variance is p (1 - p).
    """
    n_images, n_pixels, device = len(images.pixels), images.pixels[0].numel(), images.pixels.device
    mean = torch.zeros(n_pixels, dtype=torch.float64, device=device)
    for chunk in images.pixels.split(IMAGES_AT_ONCE):
        mean += as_floats(chunk).flatten(1).sum(0, dtype=torch.float64) / n_images
    if n_pixels > MOST_PIXELS:
        variance = torch.zeros_like(mean)
        for chunk in images.pixels.split(max(1, ROWS_AT_ONCE // n_pixels)):
            variance += (as_floats(chunk).flatten(1) - mean.float()).square().sum(0, dtype=torch.float64) / n_images
        mean, variance = mean.cpu(), variance.cpu()
        noise = mean * (1 - mean) - variance if binarize == "dynamic" else None
        shown = variance if noise is None else variance + noise
        return MomentsOfMany(mean, shown, n_images, Shown(images.pixels.cpu(), binarize), noise)
    folds = torch.zeros(N_FOLDS, n_pixels, n_pixels, dtype=torch.float64, device=device)
    means = torch.zeros(N_FOLDS, n_pixels, dtype=torch.float64, device=device)
    fold_of = fold_of_rows(n_images).to(device)
    with one_thread():
        at_once = N_FOLDS * IMAGES_AT_ONCE
        for chunk, dealt in zip(images.pixels.split(at_once), fold_of.split(at_once), strict=True):
            centred = as_floats(chunk).flatten(1) - mean.float()  # centred first: single precision then loses nothing
            for fold in range(N_FOLDS):
                own = centred[dealt == fold]
                folds[fold] += (own.T @ own).double()
                means[fold] += own.sum(0, dtype=torch.float64)
    counts = torch.bincount(fold_of, minlength=N_FOLDS).clamp_min(1)
    covariance = folds.sum(0) / n_images
    folds /= counts.reshape(-1, 1, 1)
    if binarize == "dynamic":  # E (b - m)^2 of draws b whose mean is p, over a fold's p
        covariance.diagonal().copy_(mean * (1 - mean))
        folds.diagonal(dim1=1, dim2=2).copy_(mean * (1 - mean) + means / counts.unsqueeze(1) * (1 - 2 * mean))
    return PixelMoments(mean, covariance, n_images, Shown(images.pixels, binarize), folds)
