"""Moments of the pixels and their leading eigenvalues: by the whole covariance matrix where there are few pixels, and
without ever forming it where there are many."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, LinearOperator, eigsh
from torch import Tensor

from vae_lightning.data import Images
from vae_lightning.data.loader import as_floats

PerPixel = Float[Tensor, " pixels"]
Covariance = Float[Tensor, "pixels pixels"]
PerDirection = Float[Tensor, " directions"]
Binarize = Literal["none", "dynamic", "static"]
IMAGES_AT_ONCE = 1_000
"""Summed in single precision, which so few images leave exact to about 1e-6; the sums of sums are in double."""
FEW_OF = 10
"""So many times as many eigenvalues there must be for some of them to be cheaper than all."""
ROUNDING = 1e-6
"""Of the largest eigenvalue: what is smaller is rounding in the sums."""
MOST_RESTARTS = 30
"""Of Lanczos iterations, which mostly need five."""
MOST_PIXELS = 1_024
"""Up to so many the covariance matrix is formed; it takes 8 MB, and all its eigenvalues 0.2 s."""
FEW_IMAGES = 3_000
"""Up to so many the matrix of their products has the same eigenvalues at less cost."""
ROWS_AT_ONCE = 50_000_000
"""Numbers of a piece of the images that is in memory as floats: 200 MB."""


class PixelMoments(NamedTuple):
    """Mean and covariance of what the decoder is shown."""

    mean: PerPixel
    covariance: Covariance
    n_images: int

    @property
    def variance(self) -> PerPixel:
        return self.covariance.diagonal()

    def leading(self, n: int, scale: PerPixel | None = None) -> PerDirection:
        """Return the eigenvalues of the covariance, each pixel multiplied by a scale: all of them, descending."""
        if scale is None:
            return descending(self.covariance)
        varies = scale > 0
        scaled = scale[varies].unsqueeze(1) * self.covariance[varies][:, varies] * scale[varies]
        return descending(scaled)


class MomentsOfMany(NamedTuple):
    """The same of images of many pixels: the covariance is what the images do to a vector."""

    mean: PerPixel
    variance: PerPixel
    n_images: int
    pixels: Tensor
    """The images themselves."""
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
            operator = LinearOperator((len(scale),) * 2, matvec=lambda v: self._times(v, scale), dtype=np.float64)
            start = np.random.default_rng(0).standard_normal(len(scale))
            n = min(n, len(scale) - 1)
            how = {"k": n, "which": "LA", "v0": start, "tol": ROUNDING, "return_eigenvectors": False}
            try:
                found = eigsh(operator, maxiter=MOST_RESTARTS, **how)
            except ArpackNoConvergence as stopped:
                total = float((scale.square() * self.variance).sum())
                if total - stopped.eigenvalues.sum() > ROUNDING * total:  # there is more, however long it takes
                    found = eigsh(operator, **how)
                else:  # data of few directions: in the others there is nothing
                    found = np.pad(stopped.eigenvalues, (0, n - len(stopped.eigenvalues)))
        return without_rounding(torch.from_numpy(np.sort(found)[::-1].copy()))

    def _pieces_of_pixels(self, scale: PerPixel) -> Iterator[Tensor]:
        """Yield centred and scaled images, some of their pixels at a time."""
        flat = self.pixels.flatten(1)
        for columns in torch.arange(len(scale)).split(max(1, ROWS_AT_ONCE // self.n_images)):
            yield (as_floats(flat[:, columns]) - self.mean[columns].float()) * scale[columns].float()

    def _times(self, vector: npt.NDArray[np.float64], scale: PerPixel) -> npt.NDArray[np.float64]:
        """Return the scaled covariance times a vector."""
        scaled = torch.from_numpy(vector).flatten() * scale
        along_mean = float(self.mean @ scaled)
        found = torch.zeros_like(self.mean)
        for piece in self.pixels.split(max(1, ROWS_AT_ONCE // len(scale))):
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
        return MomentsOfMany(mean, shown, n_images, images.pixels.cpu(), noise)
    covariance = torch.zeros(n_pixels, n_pixels, dtype=torch.float64, device=device)
    with one_thread():
        for chunk in images.pixels.split(IMAGES_AT_ONCE):
            centred = as_floats(chunk).flatten(1) - mean.float()  # centred first: single precision then loses nothing
            covariance += (centred.T @ centred).double() / n_images
    if binarize == "dynamic":
        covariance.diagonal().copy_(mean * (1 - mean))
    return PixelMoments(mean, covariance, n_images)


def descending(covariance: Covariance) -> PerDirection:
    """Return all eigenvalues, the largest first."""
    with one_thread():
        eigenvalues: Tensor = torch.linalg.eigvalsh(covariance)
    return without_rounding(eigenvalues.flip(0))


def without_rounding(eigenvalues: PerDirection) -> PerDirection:
    """Return descending eigenvalues with zeros where there is mere rounding."""
    return torch.where(eigenvalues > ROUNDING * eigenvalues[:1], eigenvalues, 0.0)


def leading_eigenpairs(matrix: Covariance, n: int) -> tuple[PerDirection, Float[Tensor, "pixels directions"]]:
    """Return the ``n`` largest eigenvalues of a symmetric matrix, descending, and their eigenvectors as columns.

    By Lanczos iterations where they are few of many: the ten largest of 3,072 took a fifth of the time of all. The
    iterations begin at a fixed vector, so that equal matrices have equal answers.
    """
    size = len(matrix)
    n = min(n, size)
    if size > FEW_OF * n:
        start = np.random.default_rng(0).standard_normal(size)
        # As of a matrix of zeros, or of fewer directions than are asked for: the others have all the same eigenvalue.
        with contextlib.suppress(ArpackError):
            values, vectors = eigsh(matrix.cpu().numpy(), k=n, which="LA", v0=start, maxiter=MOST_RESTARTS)
            order = values.argsort()[::-1].copy()
            return torch.from_numpy(values[order]).to(matrix), torch.from_numpy(vectors[:, order]).to(matrix)
    every = torch.linalg.eigh(matrix)
    return every.eigenvalues.flip(0)[:n], every.eigenvectors.flip(1)[:, :n]


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep to one thread: for small matrices several gain little, and on busy cores they take many times as long."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
