"""Gradient estimators on the scalar model p(z) = N(0, 1), p(x|z) = N(z, s2), q = N(m, s^2): means and variances.

The exact gradient is a closed form for one sample, and quadrature for the bound of several.
"""

import math

import pytest
import torch
from models import LIKELIHOOD, MOMENT, PRIOR, VARIANCE, gaussian, identity, normals
from torch import Tensor
from torch.distributions import Normal

from vae_lightning.distributions import Posterior, Prior, StandardNormalPrior
from vae_lightning.objectives import (
    DoublyReparameterized,
    Elbo,
    Estimator,
    Iwae,
    Objective,
    Pathwise,
    ScoreFunction,
    StickingTheLanding,
    Vimco,
)
from vae_lightning.objectives.estimators import Draw

X, M, S = 1.7, 0.4, 0.6
DRAWS = 40_000
REINFORCE = {
    "reinforce": ScoreFunction(baseline="none", kl="sampled"),
    "reinforce, closed-form KL": ScoreFunction(baseline="none", kl="closed_form"),
}
LEAVE_ONE_OUT = ScoreFunction(baseline="leave_one_out", kl="sampled")
PATHWISE = {"pathwise": Pathwise(kl="sampled"), "pathwise, closed-form KL": Pathwise(kl="closed_form")}


class NoClosedForm(StandardNormalPrior):
    """The same prior, of which nobody has worked out a KL."""

    def kl_per_unit(self, posterior: Posterior) -> None:
        return None


def gradients(
    objective: Objective,
    *,
    m: float = M,
    s: float = S,
    gain: float = 1.0,
    kl_weight: float = 1.0,
    prior: Prior = PRIOR,
) -> Tensor:
    """Return independent estimates of the bound's gradient by (m, s, gain), where the decoder is z -> gain z."""
    mean = torch.full((DRAWS, 1), m, dtype=torch.float64, requires_grad=True)
    scale = torch.full((DRAWS, 1), s, dtype=torch.float64, requires_grad=True)
    gains = torch.full((DRAWS,), gain, dtype=torch.float64, requires_grad=True)
    pixels = torch.full((DRAWS, 1, 1, 1), X, dtype=torch.float64)
    noise = normals(objective.n_samples, DRAWS, 1)

    def decoder(codes: Tensor) -> Tensor:
        return identity(codes * gains.repeat(objective.n_samples).unsqueeze(1))

    bound = objective(pixels, gaussian(mean, 2 * scale.log()), prior, decoder, LIKELIHOOD, noise, kl_weight, MOMENT)
    found = torch.autograd.grad(-bound.loss * DRAWS, (mean, scale, gains))
    return torch.stack([gradient.flatten() for gradient in found], dim=1)


def exact_elbo_gradient(m: float, s: float) -> Tensor:
    """By (m, s) in closed form; by the gain a at 1 of E[-(x - a z)^2 / (2 s2)]: (x m - m^2 - s^2) / s2."""
    by_m, by_s = (X - m) / VARIANCE - m, -s / VARIANCE - s + 1 / s
    return torch.tensor([by_m, by_s, (X * m - m**2 - s**2) / VARIANCE], dtype=torch.float64)


def exact_gradient_of_the_bound(k: int, kl_weight: float) -> Tensor:
    """By quadrature over all k codes and automatic differentiation; what the weight has above 1 multiplies the KL."""
    parameters = torch.tensor([M, S, 1.0], dtype=torch.float64, requires_grad=True)
    m, s, gain = parameters
    nodes = torch.linspace(-8, 8, 161, dtype=torch.float64)
    weights = Normal(0.0, 1.0).log_prob(nodes).exp() * (nodes[1] - nodes[0])
    z = m + s * nodes
    log_w = Normal(gain * z, math.sqrt(VARIANCE)).log_prob(torch.tensor(X).double()) + min(kl_weight, 1) * (
        Normal(0.0, 1.0).log_prob(z) - Normal(m, s).log_prob(z)
    )
    bound = torch.stack(torch.meshgrid([log_w] * k, indexing="ij")).logsumexp(0) - math.log(k)
    integral = (bound * torch.stack(torch.meshgrid([weights] * k, indexing="ij")).prod(0)).sum()
    kl = (m**2 + s**2 - 1) / 2 - s.log()
    return torch.autograd.grad(integral - max(kl_weight - 1, 0) * kl, parameters)[0]


def assert_unbiased(found: Tensor, exact: Tensor) -> None:
    standard_error = found.std(0) / math.sqrt(len(found))
    assert ((found.mean(0) - exact).abs() <= 4 * standard_error + 1e-12).all(), (found.mean(0), exact, standard_error)


ELBO_ESTIMATORS: dict[str, tuple[Estimator, int]] = {
    **{f"{name}, 1": (estimator, 1) for name, estimator in (PATHWISE | REINFORCE).items()},
    **{f"{name}, 3": (estimator, 3) for name, estimator in (PATHWISE | REINFORCE).items()},
    "sticking the landing, 1": (StickingTheLanding(), 1),
    "sticking the landing, 3": (StickingTheLanding(), 3),
    "leave one out, 3": (LEAVE_ONE_OUT, 3),
    "leave one out, closed-form KL, 3": (ScoreFunction(baseline="leave_one_out", kl="closed_form"), 3),
}


@pytest.mark.parametrize("name", ELBO_ESTIMATORS)
def test_the_elbos_gradient_is_unbiased(name: str) -> None:
    estimator, n_samples = ELBO_ESTIMATORS[name]
    assert_unbiased(gradients(Elbo(estimator, n_samples=n_samples)), exact_elbo_gradient(M, S))


IWAE_ESTIMATORS: dict[str, Estimator] = {
    "pathwise": Pathwise(kl="sampled"),
    "reinforce": ScoreFunction(baseline="none", kl="sampled"),
    "leave one out": LEAVE_ONE_OUT,
    "dreg": DoublyReparameterized(),
    "vimco": Vimco(),
}


@pytest.mark.parametrize(("k", "kl_weight"), [(2, 0.0), (2, 0.1), (2, 1.0), (2, 2.0), (2, 4.0), (3, 0.5), (3, 2.0)])
@pytest.mark.parametrize("name", IWAE_ESTIMATORS)
def test_the_gradient_of_the_bound_of_several_is_unbiased_at_every_kl_weight(
    name: str, k: int, kl_weight: float
) -> None:
    found = gradients(Iwae(IWAE_ESTIMATORS[name], n_samples=k), kl_weight=kl_weight)
    assert_unbiased(found, exact_gradient_of_the_bound(k, kl_weight))


@pytest.mark.parametrize("name", IWAE_ESTIMATORS)
def test_so_it_is_where_the_kl_beside_the_bound_has_no_closed_form(name: str) -> None:
    found = gradients(Iwae(IWAE_ESTIMATORS[name], n_samples=2), kl_weight=4.0, prior=NoClosedForm())
    assert_unbiased(found, exact_gradient_of_the_bound(2, 4.0))


@pytest.mark.parametrize("name", ["pathwise", "reinforce", "dreg"])
def test_the_gradient_of_the_bound_of_one_is_the_elbos(name: str) -> None:
    assert_unbiased(gradients(Iwae(IWAE_ESTIMATORS[name], n_samples=1)), exact_elbo_gradient(M, S))


def test_sticking_the_landing_is_biased_for_the_bound_of_two() -> None:
    found = gradients(Iwae(StickingTheLanding(), n_samples=2))
    standard_error = found.std(0) / math.sqrt(len(found))
    off = (found.mean(0) - exact_gradient_of_the_bound(2, 1.0)).abs() / standard_error
    assert off[:2].max() > 20  # the encoder's
    assert off[2] < 4  # the decoder's is the plain one


def test_at_the_true_posterior_sticking_the_landing_and_dreg_have_no_variance_at_all() -> None:
    """m = x / (1 + s2), s^2 = s2 / (1 + s2): every path derivative of log w is 0, and so is the gradient."""
    at = {"m": X / (1 + VARIANCE), "s": math.sqrt(VARIANCE / (1 + VARIANCE))}
    for objective in (
        Elbo(StickingTheLanding(), n_samples=1),
        Elbo(StickingTheLanding(), n_samples=3),
        Iwae(StickingTheLanding(), n_samples=3),
        Iwae(DoublyReparameterized(), n_samples=3),
    ):
        assert gradients(objective, **at)[:, :2].abs().max() < 1e-12
    for estimator in (*PATHWISE.values(), *REINFORCE.values()):
        assert gradients(Elbo(estimator, n_samples=1), **at)[:, :2].var(0).min() > 1e-3


def variance(objective: Objective, **at: float) -> float:
    """Of the encoder's gradient by m."""
    return float(gradients(objective, **at)[:, 0].var())


def test_variances_are_ordered_as_the_literature_says() -> None:
    elbo = {name: variance(Elbo(estimator, n_samples=n)) for name, (estimator, n) in ELBO_ESTIMATORS.items()}
    # A path says more than a score (Kingma & Welling 2013); a baseline helps a score (Mnih & Gregor 2014).
    assert elbo["pathwise, 1"] < elbo["reinforce, 1"] / 2
    assert elbo["pathwise, 3"] < elbo["leave one out, 3"] < elbo["reinforce, 3"]
    # More samples, less variance.
    for name in ("pathwise", "reinforce", "sticking the landing"):
        assert elbo[f"{name}, 3"] == pytest.approx(elbo[f"{name}, 1"] / 3, rel=0.1)
    # Near the true posterior, leaving the score out leaves the noise out (Roeder et al. 2017).
    near = {"m": X / (1 + VARIANCE) + 0.05, "s": math.sqrt(VARIANCE / (1 + VARIANCE)) * 1.05}
    landing, path = (variance(Elbo(e, n_samples=1), **near) for e in (StickingTheLanding(), PATHWISE["pathwise"]))
    assert landing < path / 10
    # DReG lies below the path (Tucker et al. 2018), baselines lie below the plain score (Mnih & Rezende 2016).
    iwae = {name: variance(Iwae(estimator, n_samples=10)) for name, estimator in IWAE_ESTIMATORS.items()}
    assert iwae["dreg"] < iwae["pathwise"] / 2
    assert iwae["vimco"] < iwae["reinforce"] / 10
    assert iwae["leave one out"] < iwae["reinforce"] / 10


def test_the_signal_to_noise_of_the_encoder_falls_with_the_samples_but_not_for_dreg() -> None:
    """Rainforth et al. 2018: it falls as sqrt(1/k) for the plain gradient; Tucker et al. 2018: it rises for DReG."""

    def signal_to_noise(estimator: Estimator, k: int) -> float:
        found = gradients(Iwae(estimator, n_samples=k))[:, 0]
        return abs(float(found.mean() / found.std()))

    plain, dreg = Pathwise(kl="sampled"), DoublyReparameterized()
    assert signal_to_noise(plain, 64) < signal_to_noise(plain, 4) / 2
    assert signal_to_noise(dreg, 64) > signal_to_noise(dreg, 4) * 1.5


def test_noise_with_a_seed_gives_the_same_gradient_again() -> None:
    for name in ("dreg", "vimco"):
        objective = Iwae(IWAE_ESTIMATORS[name], n_samples=2)
        assert torch.equal(gradients(objective), gradients(objective))


def test_vimcos_baseline_is_the_geometric_mean_of_the_others() -> None:
    """Against the formula written out (Mnih & Rezende 2016, eq. 8-9); the weights are given, so only the score acts."""
    log_w = normals(4, 1)
    weights = log_w.exp().flatten().tolist()
    bound = math.log(sum(weights) / 4)
    expected = []
    for left_out in range(4):
        others = [weight for i, weight in enumerate(weights) if i != left_out]
        geometric = math.exp(sum(map(math.log, others)) / 3)
        expected.append(bound - math.log((sum(others) + geometric) / 4))
    mean = torch.tensor([[0.3]], dtype=torch.float64, requires_grad=True)
    codes = normals(4, 1, 1, seed=5)
    draw = Draw(codes, gaussian(mean, torch.zeros(1, 1, dtype=torch.float64)), PRIOR)
    Vimco().log_mean_exp(log_w, draw, 1.0).sum().backward()
    by_log_q = (codes - 0.3).flatten().tolist()  # d log q(z) / d mean at unit variance
    assert mean.grad is not None
    assert mean.grad.item() == pytest.approx(sum(a * b for a, b in zip(expected, by_log_q, strict=True)))
