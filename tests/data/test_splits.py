import hashlib
from pathlib import Path

import pytest
import torch

from vae_lightning.data import digits, idx_images, linear_gaussian
from vae_lightning.data.catalogue import MNIST, TEST_IMAGES, TRAIN_IMAGES, TRAIN_LABELS
from vae_lightning.errors import Code, UserError


def test_mnist_is_the_original_bytes_in_the_official_split(data_dir: Path) -> None:
    training, test = idx_images(dataset="mnist", data_dir=str(data_dir))
    assert training.pixels.shape == (60_000, 1, 28, 28)
    assert test.pixels.shape == (10_000, 1, 28, 28)
    for name, tensor, header in (
        (TRAIN_IMAGES, training.pixels, bytes.fromhex("00000803 0000ea60 0000001c 0000001c")),
        (TRAIN_LABELS, training.labels.to(torch.uint8), bytes.fromhex("00000801 0000ea60")),
        (TEST_IMAGES, test.pixels, bytes.fromhex("00000803 00002710 0000001c 0000001c")),
    ):
        assert hashlib.sha256(header + tensor.numpy().tobytes()).hexdigest() == MNIST.sha256[name]
    assert torch.bincount(training.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


def test_digits_need_no_network_and_look_like_images() -> None:
    training, test = digits()
    assert training.pixels.shape == (1500, 1, 28, 28)
    assert test.pixels.shape == (297, 1, 28, 28)
    assert training.pixels.dtype == torch.uint8
    assert training.pixels.min() == 0
    assert training.pixels.max() == 255
    assert set(training.labels.tolist()) == set(range(10))


def test_linear_gaussian_has_exactly_the_spectrum_asked_for() -> None:
    spectrum = [8.0, 4.0, 2.0, 0.5, 0.0]
    training, test = linear_gaussian(spectrum=spectrum, n_training=500, n_test=100, data_seed=1)
    vectors = training.pixels.flatten(1).double()
    covariance = vectors.T @ vectors / len(vectors)
    assert vectors.mean(0).abs().max() < 1e-6
    assert torch.linalg.eigvalsh(covariance).flip(0).tolist() == pytest.approx(spectrum, abs=1e-5)
    assert test.pixels.shape == (100, 1, 1, 5)
    assert (covariance - torch.diag(torch.diag(covariance))).abs().max() > 0.1  # in a rotated basis


def test_linear_gaussian_needs_more_vectors_than_dimensions() -> None:
    with pytest.raises(UserError) as refused:
        linear_gaussian(spectrum=[1.0, 1.0], n_training=2, n_test=1, data_seed=0)
    assert refused.value.code is Code.INCOMPATIBLE
    assert refused.value.about == ("data.source.n_training", "data.source.spectrum")
