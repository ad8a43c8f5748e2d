import pytest

from vae_lightning.data import Images, digits
from vae_lightning.data.loader import as_floats
from vae_lightning.diagnostics import NearestNeighbourClassifier


@pytest.mark.parametrize("kind", range(10))
def test_real_digits_are_counted_as_what_they_are(kind: int) -> None:
    training, test = digits()
    pixels = as_floats(test.pixels[test.labels == kind])
    counts = NearestNeighbourClassifier(training).count(pixels)
    assert sum(counts) == len(pixels)
    assert len(counts) == 10
    assert counts[kind] >= 0.8 * len(pixels)


def test_a_kind_that_is_not_there_counts_zero() -> None:
    training, test = digits()
    counts = NearestNeighbourClassifier(training).count(as_floats(test.pixels[test.labels == 3]))
    assert counts[0] == 0


def test_the_accuracy_is_the_share_told_right() -> None:
    training, test = digits()
    assert 0.9 < NearestNeighbourClassifier(training).accuracy(test) < 1
    assert NearestNeighbourClassifier(training).accuracy(Images(test.pixels, (test.labels + 1) % 10)) < 0.1
