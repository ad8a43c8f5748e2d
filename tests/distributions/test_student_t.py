"""Student's t: torch's density, its moments, its derivatives far out and near, and the scale it finds."""

import math
from typing import Any

import pytest
import torch
from torch.distributions import StudentT

from vae_lightning.distributions import GaussianLikelihood, StudentTLikelihood

GENERATOR = torch.Generator().manual_seed(0)
PIXELS = torch.randn(4, 1, 3, 3, generator=GENERATOR, dtype=torch.float64)
VALUES = torch.randn(3, 4, 1, 3, 3, generator=GENERATOR, dtype=torch.float64) * 3
PIXEL_DIMS = (-3, -2, -1)


def student_t(degrees_of_freedom: float = 4.0, scale: float = 0.3, mean: Any = "identity") -> StudentTLikelihood:
    settings = {"initial_scale": scale, "min_log_scale": -6.0, "mean": mean}
    return StudentTLikelihood(degrees_of_freedom=degrees_of_freedom, **settings).double()


def scale_of(likelihood: StudentTLikelihood) -> float:
    return float(likelihood.log_scale.detach().exp())


@pytest.mark.parametrize("mean", ["sigmoid", "identity"])
@pytest.mark.parametrize(("degrees_of_freedom", "scale"), [(2.1, 0.01), (4.0, 0.5), (300.0, 40.0)])
def test_it_equals_torch_distributions(degrees_of_freedom: float, scale: float, mean: str) -> None:
    likelihood = student_t(degrees_of_freedom, scale, mean)
    assert scale_of(likelihood) == pytest.approx(scale, rel=1e-5)
    location = VALUES.sigmoid() if mean == "sigmoid" else VALUES
    reference = StudentT(degrees_of_freedom, location, scale_of(likelihood)).log_prob(PIXELS).sum(PIXEL_DIMS)
    found = likelihood.log_prob(PIXELS, VALUES)
    assert found.shape == (3, 4)
    torch.testing.assert_close(found, reference)
    torch.testing.assert_close(likelihood.mean(VALUES), location)
    assert likelihood.means_in_unit_interval == (mean == "sigmoid")


@torch.no_grad()
def test_it_integrates_to_one_with_its_location_for_a_mean_and_its_tails_for_a_variance() -> None:
    """Of 12 degrees of freedom, whose tails a quadrature reaches."""
    likelihood = student_t(12.0, 0.8)
    x = torch.linspace(-60, 60, 400_001, dtype=torch.float64)
    values = torch.full((len(x), 1, 1, 1), 0.4, dtype=torch.float64)
    p = likelihood.log_prob(x.reshape(-1, 1, 1, 1), values).exp() * float(x[1] - x[0])
    assert float(p.sum()) == pytest.approx(1, abs=1e-6)
    assert float((p * x).sum()) == pytest.approx(0.4, abs=1e-6)
    assert float((p * (x - 0.4).square()).sum()) == pytest.approx(0.8**2 * 12 / 10, rel=1e-5)


@torch.no_grad()
def test_samples_have_its_moments_and_are_its_own() -> None:
    likelihood, n = student_t(12.0, 0.8), 100_000
    values = torch.full((n, 1, 1, 1), 0.4, dtype=torch.float64)
    drawn = likelihood.sample(values, torch.Generator().manual_seed(1))
    assert drawn.shape == values.shape
    assert torch.equal(drawn, likelihood.sample(values, torch.Generator().manual_seed(1)))
    assert abs(float(drawn.mean()) - 0.4) < 4 * float(drawn.std()) / math.sqrt(n)
    squares = (drawn - 0.4).square()
    assert abs(float(squares.mean()) - 0.8**2 * 12 / 10) < 4 * float(squares.std()) / math.sqrt(n)


@pytest.mark.parametrize("mean", ["sigmoid", "identity"])
def test_its_score_and_curvature_are_the_derivatives_in_the_location_after_the_squash(mean: str) -> None:
    likelihood, location = student_t(mean=mean), VALUES[0].sigmoid().requires_grad_()
    reference = StudentT(4.0, location, scale_of(likelihood)).log_prob(PIXELS).sum()
    (first,) = torch.autograd.grad(reference, location, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), location)
    values = location.detach().logit() if mean == "sigmoid" else location.detach()
    score, curvature = likelihood.score_and_curvature(PIXELS, values)
    torch.testing.assert_close(score, first)
    torch.testing.assert_close(curvature, -second)
    far = (PIXELS - location.detach()).abs() > scale_of(likelihood) * 2
    assert far.any()
    assert not far.all()
    assert torch.equal(curvature < 0, far)  # |e| > s sqrt(nu)


def test_an_outlier_weighs_less_the_further_out_it_is() -> None:
    scores, _ = student_t().score_and_curvature(torch.tensor([1.0, 10.0, 100.0]).double(), torch.zeros(3).double())
    assert scores[0] > scores[1] > scores[2] > 0


def test_extreme_values_stay_finite() -> None:
    likelihood = StudentTLikelihood(degrees_of_freedom=4.0, initial_scale=0.003, min_log_scale=-6.0, mean="identity")
    values = torch.tensor([-1e4, 1e4, 0.0, 1e-8]).reshape(4, 1, 1, 1).requires_grad_()
    found = likelihood.log_prob(torch.zeros(4, 1, 1, 1), values)
    found.sum().backward()
    assert found.isfinite().all()
    for gradient in (values.grad, likelihood.raw_log_scale.grad):
        assert gradient is not None
        assert gradient.isfinite().all()


def test_of_many_degrees_of_freedom_it_is_a_gaussian() -> None:
    likelihood = student_t(1e6)
    expected = GaussianLikelihood(variance=scale_of(likelihood) ** 2, mean="identity").log_prob(PIXELS, VALUES / 9)
    torch.testing.assert_close(likelihood.log_prob(PIXELS, VALUES / 9), expected, rtol=1e-4, atol=1e-4)


def test_sixteen_bit_values_are_summed_in_thirty_two() -> None:
    likelihood, values = student_t().float(), VALUES.bfloat16()
    found = likelihood.log_prob(PIXELS.float(), values)
    assert found.dtype is torch.float32
    torch.testing.assert_close(found, likelihood.log_prob(PIXELS.float(), values.float()))


def test_a_fit_finds_the_scale_of_the_data_which_a_gaussian_does_not() -> None:
    values = torch.zeros(20_000, 1, 1, 1)
    data = student_t(4.0, 0.3).sample(values, torch.Generator().manual_seed(4)).float()
    likelihood = StudentTLikelihood(degrees_of_freedom=4.0, initial_scale=2.0, min_log_scale=-6.0, mean="identity")
    optimizer = torch.optim.Adam(likelihood.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        (-likelihood.log_prob(data, values).mean()).backward()
        optimizer.step()
    assert scale_of(likelihood) == pytest.approx(0.3, rel=0.03)
    assert float(data.std()) > 0.3 * 1.2


def test_its_scale_stays_above_its_bound() -> None:
    likelihood = student_t()
    with torch.no_grad():
        likelihood.raw_log_scale.fill_(-50.0)
    assert scale_of(likelihood) == pytest.approx(math.exp(-6))
    with pytest.raises(ValueError, match="min_log_scale"):
        student_t(scale=1e-4)
