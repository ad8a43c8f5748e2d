"""Which classes do images without labels show? Asked of the nearest labelled images."""

import numpy as np
import numpy.typing as npt

from vae_lightning.data import Images
from vae_lightning.data.loader import as_floats

N_NEIGHBOURS = 5
N_REFERENCES = 10_000
"""Enough labelled images for about 95 of 100 right on MNIST's test images, in a few tens of megabytes."""


def count_per_class(pixels: npt.NDArray[np.float32], reference: Images) -> list[int]:
    """Return how many of the images fall in each class by k nearest neighbours (k = 5) among ``reference``.

    ``pixels`` has shape (n, channels, height, width), values in [0, 1]. The classifier is scikit-learn's, in pixel
    space, with the first 10,000 reference images.
    """
    from sklearn.neighbors import KNeighborsClassifier

    labels = reference.labels[:N_REFERENCES].cpu().numpy()
    known = as_floats(reference.pixels[:N_REFERENCES]).flatten(1).cpu().numpy()
    classifier = KNeighborsClassifier(N_NEIGHBOURS, algorithm="brute")
    classifier.fit(known, labels)
    predicted = classifier.predict(pixels.reshape(len(pixels), -1))
    counts: list[int] = np.bincount(predicted, minlength=labels.max() + 1).tolist()
    return counts
