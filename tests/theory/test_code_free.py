"""The best decoder without a code, and the forecast of likelihoods without a closed form."""

import math

import pytest
import torch
from torch import Tensor

from vae_lightning.data import Images
from vae_lightning.distributions import (
    BernoulliLikelihood,
    CategoricalLikelihood,
    GaussianLearnedLikelihood,
    GaussianLikelihood,
    GaussianPerPixelLikelihood,
    Likelihood,
    LocationScale,
    NegativeBinomialLikelihood,
    PoissonLikelihood,
    StudentTLikelihood,
    gaussian_noise,
)
from vae_lightning.errors import Code, UserError
from vae_lightning.theory import Forecast, NoForecast, forecast, linear_vae, pixel_moments
from vae_lightning.theory.code_free import best_code_free, scores_of

N = 4_000


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images_of(rows: Tensor) -> Images:
    return Images(rows.reshape(len(rows), 1, 1, -1), torch.zeros(len(rows), dtype=torch.long))


def rows(noise: float = 1.0) -> Tensor:
    """Return five columns that follow two factors, of different places and scales."""
    factors = torch.randn(N, 2, generator=drawn(1)) @ torch.randn(2, 5, generator=drawn(2))
    values = factors + noise * torch.randn(N, 5, generator=drawn(3))
    return values * torch.tensor([1.0, 0.1, 5.0, 1.0, 2.0]) + torch.tensor([0.0, 3.0, -40.0, 1.0, 0.2])


def student() -> StudentTLikelihood:
    return StudentTLikelihood(degrees_of_freedom=5.0, initial_scale=3.0, min_log_scale=-6.0, mean="identity")


def per_pixel() -> GaussianPerPixelLikelihood:
    return GaussianPerPixelLikelihood(min_log_sigma=-12.0, mean="identity")


def test_the_best_gaussian_has_the_mean_and_the_variance_of_each_column() -> None:
    found = best_code_free(pixel_moments(images_of(rows()), "none"), per_pixel())
    values = rows().reshape(N, 1, 1, 5)
    torch.testing.assert_close(found.values[:1], values.mean(0), rtol=1e-2, atol=2e-2)
    log_variance = found.likelihood.log_variance(found.values.unsqueeze(0))[0]
    torch.testing.assert_close(log_variance, values.var(0).log(), rtol=0, atol=0.05)


def test_a_learned_scale_is_found_with_the_values() -> None:
    """Of t-distributed columns of one scale."""
    values = 2.0 * torch.distributions.StudentT(5.0).rsample((20_000, 4)) + 10.0
    found = best_code_free(pixel_moments(images_of(values), "none"), student())
    assert float(found.likelihood.log_scale.detach().exp()) == pytest.approx(2.0, rel=0.05)
    torch.testing.assert_close(found.values.flatten(), torch.full((4,), 10.0), rtol=0, atol=0.15)


def test_the_likelihood_that_was_asked_is_left_as_it_was() -> None:
    likelihood = student()
    before = likelihood.raw_log_scale.detach().clone()
    best_code_free(pixel_moments(images_of(rows()), "none"), likelihood)
    assert torch.equal(likelihood.raw_log_scale, before)


class ByAutograd(BernoulliLikelihood):
    """A Bernoulli that gives its score by automatic differentiation, in a parameter of another scale."""

    def log_prob(self, pixels: Tensor, values: Tensor) -> Tensor:
        return super().log_prob(pixels, 3 * values)


class Learned(BernoulliLikelihood, torch.nn.Module):
    """A Bernoulli with a parameter of its own, so that its values are looked for by Newton's method."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = torch.nn.Parameter(torch.zeros(()))

    def log_prob(self, pixels: Tensor, values: Tensor) -> Tensor:
        return super().log_prob(pixels, values + 0 * self.shift) - self.shift.square()


@pytest.mark.parametrize("other", [ByAutograd(), Learned()])
def test_the_forecast_does_not_depend_on_how_it_is_had(other: Likelihood) -> None:
    """Nor on the parametrisation: critical weights are those of the closed form."""
    logits = torch.randn(N, 2, generator=drawn(1)) @ torch.randn(2, 6, generator=drawn(2))
    moments = pixel_moments(images_of(torch.bernoulli(torch.sigmoid(logits), generator=drawn(3))), "none")
    one, two = forecast(moments, BernoulliLikelihood(), 3), forecast(moments, other, 3)
    assert isinstance(two, Forecast)
    torch.testing.assert_close(two.critical_weights[:6], one.critical_weights[:6], rtol=2e-3, atol=0)


def test_scores_and_curvature_of_a_mean_and_a_variance_by_hand() -> None:
    """S and J of N(m, e^2v) at the best m and v: J = diag(1/sigma^2, 2); scores e/sigma^2 and e^2/sigma^2 - 1."""
    moments = pixel_moments(images_of(rows()), "none")
    found = forecast(moments, per_pixel(), 10)
    values = rows().double()
    error = (values - values.mean(0)) / values.std(0, correction=0)
    whitened = torch.cat([error, (error.square() - 1) / math.sqrt(2)], dim=1)
    expected = torch.linalg.eigvalsh(whitened.T @ whitened / N).flip(0)
    torch.testing.assert_close(found.critical_weights[:10], expected, rtol=1e-2, atol=1e-3)


def test_a_common_shift_of_logits_is_no_direction() -> None:
    classes = torch.randint(0, 3, (N, 4), generator=drawn(4)).float()
    found = scores_of(*both(classes, CategoricalLikelihood(n_classes=3)))
    assert found.rows.shape == (N, 4 * 2)  # of three logits a pixel two are free
    assert found.unpriced == 0


def both(values: Tensor, likelihood: Likelihood) -> tuple:
    moments = pixel_moments(images_of(values), "none")
    return moments, best_code_free(moments, likelihood)


def test_if_the_code_free_decoder_is_the_truth_every_critical_weight_is_one() -> None:
    """White's (1982) information matrix equality: S = J. For every likelihood, on draws from itself."""
    torch.manual_seed(0)
    for likelihood, values in (
        (student(), 3.0 * torch.distributions.StudentT(5.0).sample((40_000, 3))),
        (PoissonLikelihood(), torch.poisson(torch.full((40_000, 3), 4.0))),
        (CategoricalLikelihood(n_classes=3), torch.randint(0, 3, (40_000, 3)).float()),
        (per_pixel(), torch.randn(40_000, 3)),
    ):
        found = forecast(pixel_moments(images_of(values), "none"), likelihood, 3)
        assert isinstance(found, Forecast)
        known = found.critical_weights[found.critical_weights > 0]
        assert (known - 1).abs().max() < 0.25, type(likelihood)
        held_out = found.held_out
        n = len(known)
        # By eight folds an error is itself an estimate: beyond six of them is one of 4,000.
        assert ((held_out.values[:n] - 1).abs() < 6 * held_out.errors[:n]).all(), type(likelihood)


@pytest.mark.parametrize(
    ("likelihood", "kind"),
    [(student(), "real"), (per_pixel(), "real"), (NegativeBinomialLikelihood(initial_dispersion=2.0), "counts"),
     (CategoricalLikelihood(n_classes=3), "classes")],
)  # fmt: skip
def test_the_collapsed_state_is_stable_above_the_critical_weight_and_not_below(
    likelihood: Likelihood, kind: str
) -> None:
    """The derivation tried on the loss itself, along the leading direction, with no expansion anywhere."""
    h = torch.randn(N, 1, generator=drawn(5)) @ torch.randn(1, 4, generator=drawn(6))
    values = {
        "real": h + torch.randn(N, 4, generator=drawn(7)),
        "counts": torch.poisson((0.5 + 0.5 * h).exp(), generator=drawn(8)),
        "classes": (h > 0.5).float() + (h + torch.randn(N, 4, generator=drawn(9)) > 0),
    }[kind]
    moments, code_free = both(values, likelihood)
    critical = float(forecast(moments, likelihood, 1).critical_weights[0])
    fitted, theta = code_free.likelihood, code_free.values.double()
    fitted = fitted.double() if isinstance(fitted, torch.nn.Module) else fitted
    x = values.double().reshape(N, 1, 1, 4)
    score, curvature = fitted.score_and_curvature(x, theta.expand(N, -1, -1, -1))
    v = likelihood.values_per_pixel
    j = curvature.reshape(v, N, v, 4).mean(1)
    matrix = torch.zeros(v, 4, v, 4, dtype=torch.float64)
    for pixel in range(4):
        matrix[:, pixel, :, pixel] = j[:, :, pixel]
    j = matrix.reshape(4 * v, 4 * v)
    s = score.flatten(1) - score.flatten(1).mean(0)
    pinv = torch.linalg.pinv(j, hermitian=True, rtol=1e-6)
    values_of, vectors = torch.linalg.eig(pinv @ (s.T @ s / N))
    best = values_of.real.argmax()
    assert float(values_of.real[best]) == pytest.approx(critical, rel=1e-2)
    direction = vectors[:, best].real
    direction = 0.03 * direction / (direction @ j @ direction).sqrt()
    nodes, weights = hermite()
    if isinstance(fitted, torch.nn.Module):
        fitted.requires_grad_(False)
    plain = fitted.log_prob(x, theta.expand_as(score)).mean()
    for factor, lives in ((0.9, True), (1.1, False)):
        w = critical * factor
        mean = (s @ direction / w).unsqueeze(1)
        variance = w / (w + direction @ j @ direction)
        posterior = LocationScale(mean, variance.log().expand_as(mean), gaussian_noise())
        codes = posterior.sample(nodes.reshape(-1, 1, 1).expand(-1, N, 1))
        moved = [theta + (z * direction).reshape(N, *theta.shape) for z in codes]
        log_px = torch.stack([fitted.log_prob(x, values).mean() for values in moved])
        gain = float(weights @ log_px - plain - w * posterior.kl_per_unit().mean())
        assert (gain > 0) == lives, (factor, gain)


def hermite() -> tuple[Tensor, Tensor]:
    import numpy as np

    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    return torch.from_numpy(nodes), torch.from_numpy(weights / weights.sum())


class Endless(BernoulliLikelihood, torch.nn.Module):
    """A density that grows without end in a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = torch.nn.Parameter(torch.zeros(()))

    def log_prob(self, pixels: Tensor, values: Tensor) -> Tensor:
        return super().log_prob(pixels, values) + self.slope


def test_without_a_best_code_free_decoder_there_is_no_forecast() -> None:
    moments = pixel_moments(images_of(torch.bernoulli(torch.full((200, 3), 0.4), generator=drawn(1))), "none")
    with pytest.raises(UserError) as refused:
        best_code_free(moments, Endless())
    assert refused.value.code == Code.INCOMPATIBLE
    assert isinstance(forecast(moments, Endless(), 2), NoForecast)


def test_of_data_that_do_not_vary_nothing_is_foretold() -> None:
    moments = pixel_moments(images_of(torch.full((200, 3), 0.4)), "none")
    assert isinstance(forecast(moments, student(), 2), NoForecast)


# The ceiling ----------------------------------------------------------------------------------------------------


def test_the_linear_optimum_is_below_its_ceiling_at_every_weight() -> None:
    values = rows()
    moments = pixel_moments(images_of(values), "none")
    found = forecast(moments, GaussianLikelihood(variance=0.5, mean="identity"), 5)
    trace = float(values.double().var(0, correction=0).sum())
    assert found.greatest_gain.value == pytest.approx(trace / (2 * 0.5), rel=1e-5)
    eigenvalues = found.eigenvalues
    for w in (0.01, 0.1, 0.5, 1.0, 3.0, 30.0, 100.0):
        kl = float(linear_vae(eigenvalues, 5, w, 0.5).kl_per_unit.sum())
        assert 0 <= kl <= found.greatest_gain.value / w, w


def test_the_ceiling_of_bits_is_the_entropy_of_their_means() -> None:
    p = torch.tensor([0.1, 0.5, 0.7])
    bits = torch.bernoulli(p.expand(N, 3), generator=drawn(1))
    gain = forecast(pixel_moments(images_of(bits), "none"), BernoulliLikelihood(), 2).greatest_gain
    mean = bits.double().mean(0)
    entropy = float(-(mean * mean.log() + (1 - mean) * (1 - mean).log()).sum())
    assert gain.value == pytest.approx(entropy, rel=1e-5)


def test_the_ceiling_of_grey_pixels_takes_their_own_entropy_off() -> None:
    grey = torch.rand(N, 3, generator=drawn(2))
    gain = forecast(pixel_moments(images_of(grey), "none"), BernoulliLikelihood(), 2).greatest_gain
    mean, x = grey.double().mean(0), grey.double()

    def entropy(q: Tensor) -> Tensor:
        return -(torch.xlogy(q, q) + torch.xlogy(1 - q, 1 - q))

    expected = entropy(mean).sum() - entropy(x).sum(1).mean()
    assert gain.value == pytest.approx(float(expected), rel=1e-4)
    assert gain.error < 0.02 * gain.value


def test_where_nothing_bounds_the_likelihood_there_is_no_ceiling() -> None:
    moments = pixel_moments(images_of(rows()), "none")
    learned = GaussianLearnedLikelihood(initial_variance=1.0, min_log_sigma=-6.0, mean="identity")
    for likelihood in (learned, per_pixel(), student()):
        assert forecast(moments, likelihood, 2).greatest_gain is None


# Which weight ---------------------------------------------------------------------------------------------------


def test_between_two_weights_so_many_units_live() -> None:
    found = forecast(pixel_moments(images_of(rows()), "none"), GaussianLikelihood(variance=1.0, mean="identity"), 4)
    for n in range(5):
        below, above = found.kl_weights_for(n)
        for weight in (below * 1.001 + 1e-9, min(above, 1e6) * 0.999):
            assert found.active_units(weight) == n
    for wrong in (-1, 5):
        with pytest.raises(ValueError, match="active_units"):
            found.kl_weights_for(wrong)
