import pytest
import torch

from vae_lightning.diagnostics import frechet_distance_to_prior
from vae_lightning.diagnostics.latent_space import moments

DOUBLE = torch.float64


def test_the_prior_itself_is_at_distance_zero() -> None:
    assert frechet_distance_to_prior(torch.zeros(5), torch.eye(5)) == pytest.approx(0, abs=1e-12)


def test_a_shift_costs_its_square_and_a_width_the_square_of_what_it_is_off() -> None:
    mean, deviations = torch.tensor([3.0, 0.0, -4.0]), torch.tensor([1.0, 2.0, 0.0])
    expected = 25 + (1 - 1) ** 2 + (2 - 1) ** 2 + (0 - 1) ** 2
    assert frechet_distance_to_prior(mean, deviations.square().diag()) == pytest.approx(expected, rel=1e-6)


def test_it_is_the_trace_formula_in_any_basis() -> None:
    generator = torch.Generator().manual_seed(0)
    factor = torch.randn(4, 4, generator=generator, dtype=DOUBLE)
    mean, covariance = torch.randn(4, generator=generator, dtype=DOUBLE), factor @ factor.T
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors @ values.sqrt().diag() @ vectors.T
    torch.testing.assert_close(root @ root, covariance)
    exact = mean.square().sum() + torch.trace(covariance + torch.eye(4, dtype=DOUBLE) - 2 * root)
    assert frechet_distance_to_prior(mean, covariance) == pytest.approx(float(exact), rel=1e-9)


def test_moments_are_of_the_codes_at_hand() -> None:
    codes = torch.tensor([[1.0, 0.0], [3.0, 0.0], [1.0, 2.0], [3.0, 2.0]])
    mean, covariance = moments(codes)
    assert mean.tolist() == [2.0, 1.0]
    assert covariance.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert frechet_distance_to_prior(mean, covariance) == pytest.approx(5.0)
