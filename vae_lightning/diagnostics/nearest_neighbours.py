"""Which classes do images without labels show? Asked of the nearest labelled images."""

import numpy as np
import numpy.typing as npt
from jaxtyping import Float
from torch import Tensor

from vae_lightning.data import Images
from vae_lightning.data.loader import as_floats

N_NEIGHBOURS = 5
N_REFERENCES = 10_000
"""Enough labelled images for about 95 of 100 right on MNIST's test images, in a few tens of megabytes."""


class NearestNeighbourClassifier:
    """Tells an image's class from the most common one among the nearest of some labelled images, in pixel space."""

    def __init__(self, reference: Images) -> None:
        from sklearn.neighbors import KNeighborsClassifier

        self.labels = reference.labels[:N_REFERENCES].cpu().numpy()
        self.classifier = KNeighborsClassifier(N_NEIGHBOURS, algorithm="brute")
        self.classifier.fit(_rows(as_floats(reference.pixels[:N_REFERENCES])), self.labels)

    def count(self, pixels: Float[Tensor, "n channels height width"]) -> list[int]:
        """Return how many of the images fall in each class."""
        predicted = self.classifier.predict(_rows(pixels))
        counts: list[int] = np.bincount(predicted, minlength=self.labels.max() + 1).tolist()
        return counts

    def accuracy(self, images: Images) -> float:
        """Return the share of real images that are told right: how far the counts can be trusted at best."""
        return float(self.classifier.score(_rows(as_floats(images.pixels)), images.labels.cpu().numpy()))


def _rows(pixels: Float[Tensor, "n channels height width"]) -> npt.NDArray[np.float32]:
    rows: npt.NDArray[np.float32] = pixels.flatten(1).cpu().numpy()
    return rows
