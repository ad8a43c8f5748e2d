"""The bound against what can be computed exactly: the linear Gaussian model, where E_q log p(x|z) is a closed form."""

import math

import pytest
import torch
from models import (
    DECODER,
    LIKELIHOOD,
    MOMENT,
    PIXELS,
    POSTERIOR,
    PRIOR,
    VARIANCE,
    gaussian,
    identity,
    normals,
    true_posterior,
)
from torch import Tensor

from vae_lightning.objectives import Bound, Elbo, Pathwise, elbo_terms

ELBO = Elbo(Pathwise(kl="closed_form"), n_samples=1)


def bound_of(noise: Tensor, kl_weight: float | Tensor, objective: Elbo = ELBO) -> Bound:
    return objective(PIXELS, POSTERIOR, PRIOR, DECODER, LIKELIHOOD, noise, kl_weight, MOMENT)


def test_many_samples_reach_the_closed_form_of_the_distortion() -> None:
    n_samples = 200_000
    bound = bound_of(normals(n_samples, 5, 2), 1.0)
    residual = PIXELS.flatten(1) - POSTERIOR.mean @ DECODER.weight.T
    spread = POSTERIOR.log_squared_scale.exp() @ DECODER.weight.square().sum(0)
    expected = 0.5 * ((residual.square().sum(1) + spread) / VARIANCE + 4 * math.log(2 * math.pi * VARIANCE))
    torch.testing.assert_close(bound.distortion, expected, rtol=0.01, atol=0)


def test_at_the_true_posterior_every_sample_gives_log_px() -> None:
    """p(z) = N(0, 1), p(x|z) = N(z, s2): the posterior is Gaussian and the ELBO is tight."""
    x = PIXELS[:, :, :, :1]
    bound = ELBO(x, true_posterior(x), PRIOR, identity, LIKELIHOOD, normals(400_000, 5, 1), 1.0, MOMENT)
    elbo = -(bound.distortion + bound.kl_per_unit.sum(-1))
    log_px = torch.distributions.Normal(0.0, math.sqrt(1 + VARIANCE)).log_prob(x.flatten())
    torch.testing.assert_close(elbo, log_px, rtol=0, atol=0.01)


@pytest.mark.parametrize("kl_weight", [0.0, 0.01, 7.5])
def test_the_kl_weight_touches_the_loss_only(kl_weight: float) -> None:
    noise = normals(1, 5, 2)
    weighted, plain = bound_of(noise, kl_weight), bound_of(noise, 1.0)
    assert torch.equal(weighted.distortion, plain.distortion)
    assert torch.equal(weighted.kl_per_unit, POSTERIOR.kl_per_unit())
    expected = plain.distortion.mean() + kl_weight * POSTERIOR.kl_per_unit().sum(-1).mean()
    torch.testing.assert_close(weighted.loss, expected)


def test_the_average_over_samples_is_the_average_of_single_samples() -> None:
    noise = normals(3, 5, 2)
    together = bound_of(noise, 0.5)
    single = [bound_of(one, 0.5).loss for one in noise.split(1)]
    torch.testing.assert_close(together.loss, torch.stack(single).mean())


def test_gradient_is_right_on_the_scalar_model() -> None:
    """d/dm ELBO = (x - m)/s2 - m, d/ds ELBO = -s/s2 - s + 1/s, for q = N(m, s^2)."""
    x, m, s = 1.7, 0.4, 0.6
    mean = torch.full((1, 1), m, dtype=torch.float64, requires_grad=True)
    log_variance = torch.full((1, 1), 2 * math.log(s), dtype=torch.float64, requires_grad=True)

    pixels = torch.full((1, 1, 1, 1), x, dtype=torch.float64)
    noise = normals(100_000, 1, 1)
    noise = torch.cat([noise, -noise])  # antithetic: the mean of the noise is exactly 0
    noise = noise / noise.square().mean().sqrt()  # and its second moment exactly 1
    ELBO(pixels, gaussian(mean, log_variance), PRIOR, identity, LIKELIHOOD, noise, 1.0, MOMENT).loss.backward()
    assert -mean.grad.item() == pytest.approx((x - m) / VARIANCE - m, rel=1e-9)
    by_s = -s / VARIANCE - s + 1 / s
    assert -log_variance.grad.item() == pytest.approx(by_s * s / 2, rel=1e-9)  # ds / d log s^2 = s / 2


def test_the_sampled_kl_is_another_estimate_of_the_same_loss_and_is_never_what_is_reported() -> None:
    sampled = Elbo(Pathwise(kl="sampled"), n_samples=1)
    noise = normals(200_000, 5, 2)
    torch.testing.assert_close(bound_of(noise, 2.0, sampled).loss, bound_of(noise, 2.0).loss, rtol=1e-3, atol=0)
    few = bound_of(noise[:1], 2.0, sampled)
    assert (few.loss - bound_of(noise[:1], 2.0).loss).abs().item() > 1e-3
    assert torch.equal(few.kl_per_unit, POSTERIOR.kl_per_unit())


class NoClosedForm:
    """A posterior of a user's, whose KL nobody has worked out."""

    mean = POSTERIOR.mean

    def __init__(self) -> None:
        self.sample = POSTERIOR.sample
        self.sample_with_log_prob = POSTERIOR.sample_with_log_prob
        self.log_prob_per_unit = POSTERIOR.log_prob_per_unit

    def kl_per_unit(self) -> None:
        return None

    def detached(self) -> "NoClosedForm":
        return self


def test_without_a_closed_form_the_kl_comes_from_the_same_samples() -> None:
    noise = normals(200_000, 5, 2)
    bound = ELBO(PIXELS, NoClosedForm(), PRIOR, DECODER, LIKELIHOOD, noise, 1.0, MOMENT)
    torch.testing.assert_close(bound.kl_per_unit, POSTERIOR.kl_per_unit(), rtol=0, atol=0.02)
    torch.testing.assert_close(bound.loss, bound_of(noise, 1.0).loss, rtol=1e-3, atol=0)
    terms = elbo_terms(PIXELS, NoClosedForm(), PRIOR, DECODER, LIKELIHOOD, noise[:7])
    log_q = POSTERIOR.log_prob_per_unit(POSTERIOR.sample(noise[:7]))
    log_p = torch.distributions.Normal(0.0, 1.0).log_prob(POSTERIOR.sample(noise[:7]))
    torch.testing.assert_close(terms.kl_per_unit, (log_q - log_p).mean(0))


def test_what_is_measured_is_the_bounds_own_terms() -> None:
    noise = normals(3, 5, 2)
    terms, bound = elbo_terms(PIXELS, POSTERIOR, PRIOR, DECODER, LIKELIHOOD, noise), bound_of(noise, 0.1)
    torch.testing.assert_close(terms.distortion, bound.distortion.detach())
    assert torch.equal(terms.kl_per_unit, bound.kl_per_unit)
