import torch

from vae_lightning.callbacks.figures import one_row_per_class
from vae_lightning.plots import inverse_normal_grid


def test_the_manifold_grid_has_equal_prior_mass_between_its_rows() -> None:
    codes = inverse_normal_grid(4)
    assert codes.shape == (16, 2)
    cdf = torch.distributions.Normal(0.0, 1.0).cdf(codes)
    torch.testing.assert_close(cdf[:4, 0], torch.tensor([0.125, 0.375, 0.625, 0.875]))
    torch.testing.assert_close(cdf[::4, 1], torch.tensor([0.875, 0.625, 0.375, 0.125]))  # the top row is the highest


def test_reconstructions_show_each_class_in_its_column() -> None:
    labels = torch.arange(10).repeat(5).flip(0)
    rows = one_row_per_class(labels)
    assert labels[rows].tolist() == list(range(10)) * 3


def test_reconstructions_without_classes_show_the_first_images() -> None:
    assert one_row_per_class(torch.zeros(100, dtype=torch.long)).tolist() == list(range(30))
