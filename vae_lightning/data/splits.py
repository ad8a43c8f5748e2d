"""Where images come from: functions that return the official training and test parts of a data set in memory.

Each is one value of ``data.source`` in ``conf/data/``. Pixels are uint8 (0 to 255) for images and float32 for
synthetic vectors; the loader turns uint8 into [0, 1].
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from pydantic import Field, NonNegativeFloat, NonNegativeInt
from torch import Tensor

from vae_lightning.data.catalogue import FASHION_MNIST, MNIST, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from vae_lightning.data.idx import decode_idx
from vae_lightning.errors import Code, UserError
from vae_lightning.randomness import Stream, generator_for

N_DIGITS_TRAINING = 1_500
Pixels = UInt8[Tensor, "n channels height width"] | Float[Tensor, "n channels height width"]


class Images(NamedTuple):
    """One split: uint8 or float pixels, and a class per image (0 where the data have no classes)."""

    pixels: Pixels
    labels: Int[Tensor, " n"]

    def select(self, rows: Int[Tensor, " m"]) -> "Images":
        return Images(self.pixels.index_select(0, rows), self.labels.index_select(0, rows))


class Splits(NamedTuple):
    """The two official parts. They are never mixed."""

    training: Images
    test: Images


def idx_images(*, dataset: Literal["mnist", "fashion_mnist"], data_dir: str) -> Splits:
    """Return 60,000 training and 10,000 test images of 28x28 bytes (LeCun et al. 1998; Xiao et al. 2017).

    Raises UserError as :func:`vae_lightning.data.fetch.read_files`.
    """
    from vae_lightning.data.fetch import read_files  # brings what downloads and their progress need

    files = read_files({"mnist": MNIST, "fashion_mnist": FASHION_MNIST}[dataset], Path(data_dir))

    def images(image_file: str, label_file: str) -> Images:
        # A copy, because torch wants to own memory that it may write to.
        pixels = torch.from_numpy(decode_idx(files.pop(image_file)).copy())
        labels = torch.from_numpy(decode_idx(files.pop(label_file)).copy())
        return Images(pixels.unsqueeze(1), labels.long())

    return Splits(images(TRAIN_IMAGES, TRAIN_LABELS), images(TEST_IMAGES, TEST_LABELS))


def digits() -> Splits:
    """Return the 1,797 digits that scikit-learn ships, scaled from 8x8 to 28x28: 1,500 train, the last 297 test."""
    from sklearn.datasets import load_digits

    loaded = load_digits()
    small = torch.from_numpy(loaded.images).float().unsqueeze(1) / 16
    scaled = torch.nn.functional.interpolate(small, size=(28, 28), mode="bilinear", align_corners=False)
    pixels = scaled.mul(255).round().to(torch.uint8)
    everything = Images(pixels, torch.from_numpy(loaded.target).long())
    rows = torch.arange(len(pixels))
    return Splits(everything.select(rows[:N_DIGITS_TRAINING]), everything.select(rows[N_DIGITS_TRAINING:]))


def linear_gaussian(
    *,
    spectrum: Annotated[Sequence[NonNegativeFloat], Field(min_length=1)],
    n_training: Annotated[int, Field(gt=1)],
    n_test: Annotated[int, Field(ge=10)],
    data_seed: NonNegativeInt,
) -> Splits:
    """Return centred Gaussian vectors of a given covariance spectrum, as images of 1 x 1 x len(spectrum).

    The oracle for tests: a linear VAE on these data has a known optimum. The training part is whitened first, so
    that its own mean is exactly 0 and its own covariance (dividing by n) has exactly the eigenvalues ``spectrum``,
    in a random orthonormal basis; the closed forms then hold without sampling error. The test part is drawn freely.
    Raises UserError where there are too few training vectors to whiten: more than len(spectrum) are needed.
    """
    dimension = len(spectrum)
    if n_training <= dimension:
        message = f"data.source.n_training={n_training}: must be larger than the spectrum's length {dimension}"
        raise UserError(message, Code.INCOMPATIBLE, ["data.source.n_training", "data.source.spectrum"])
    generator = generator_for(data_seed, Stream.SYNTHETIC_DATA)

    def draw(*shape: int) -> Float[Tensor, "rows columns"]:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    basis, _ = torch.linalg.qr(draw(dimension, dimension))
    coloured = basis * torch.tensor(list(spectrum), dtype=torch.float64).sqrt()
    white = draw(n_training, dimension)
    white -= white.mean(0)
    factor = torch.linalg.cholesky(white.T @ white / n_training)
    white = torch.linalg.solve_triangular(factor, white.T, upper=False).T

    def images(vectors: Float[Tensor, "n dimension"]) -> Images:
        labels = torch.zeros(len(vectors), dtype=torch.long)
        return Images((vectors @ coloured.T).float().reshape(-1, 1, 1, dimension), labels)

    return Splits(images(white), images(draw(n_test, dimension)))
