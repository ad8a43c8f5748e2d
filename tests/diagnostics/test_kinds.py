import pytest

from vae_lightning.data import digits
from vae_lightning.data.loader import as_floats
from vae_lightning.diagnostics import count_per_class


@pytest.mark.parametrize("kind", range(10))
def test_real_digits_are_counted_as_what_they_are(kind: int) -> None:
    training, test = digits()
    pixels = as_floats(test.pixels[test.labels == kind])
    counts = count_per_class(pixels.numpy(), training)
    assert sum(counts) == len(pixels)
    assert len(counts) == 10
    assert counts[kind] >= 0.8 * len(pixels)


def test_a_kind_that_is_not_there_counts_zero() -> None:
    training, test = digits()
    counts = count_per_class(as_floats(test.pixels[test.labels == 3]).numpy(), training)
    assert counts[0] == 0
