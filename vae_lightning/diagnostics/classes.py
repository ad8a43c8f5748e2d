"""Which classes do images show, and what do codes tell of them? Answers of simple classifiers."""

import warnings

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int
from torch import Tensor

from vae_lightning.data import Images
from vae_lightning.data.loader import as_floats

N_TRAINING = 10_000
MAX_ITERATIONS = 500
N_NEIGHBOURS = 5
N_REFERENCES = 10_000
"""Enough labelled images for about 95 of 100 right on MNIST's test images, in a few tens of megabytes."""
Pixels = Float[Tensor, "_ channels height width"]
Labels = Int[Tensor, " _"]


def linear_probe(
    means: Float[Tensor, "n latent"], labels: Labels, test_means: Float[Tensor, "m latent"], test_labels: Labels
) -> float | None:
    """Return the share of test images told right by a logistic regression on standardised means; None without classes.

    A random encoder's score belongs beside it: random features tell much of the class by themselves.
    """
    if int(labels.min()) == int(labels.max()):
        return None
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=MAX_ITERATIONS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # then it is a good enough classifier, not the best
        classifier.fit(means.double().cpu().numpy(), labels.cpu().numpy())
    return float(classifier.score(test_means.double().cpu().numpy(), test_labels.cpu().numpy()))


class NearestNeighbourClassifier:
    """Tells an image's class from the most common one among the nearest of some labelled images, in pixel space."""

    def __init__(self, reference: Images) -> None:
        from sklearn.neighbors import KNeighborsClassifier

        self.labels = reference.labels[:N_REFERENCES].cpu().numpy()
        self.classifier = KNeighborsClassifier(N_NEIGHBOURS, algorithm="brute")
        self.classifier.fit(_rows(as_floats(reference.pixels[:N_REFERENCES])), self.labels)

    def count(self, pixels: Pixels) -> list[int]:
        """Return how many of the images fall in each class."""
        predicted = self.classifier.predict(_rows(pixels))
        counts: list[int] = np.bincount(predicted, minlength=self.labels.max() + 1).tolist()
        return counts

    def accuracy(self, images: Images) -> float:
        """Return the share of real images that are told right: how far the counts can be trusted at best."""
        return float(self.classifier.score(_rows(as_floats(images.pixels)), images.labels.cpu().numpy()))


def _rows(pixels: Pixels) -> npt.NDArray[np.float32]:
    rows: npt.NDArray[np.float32] = pixels.flatten(1).cpu().numpy()
    return rows
