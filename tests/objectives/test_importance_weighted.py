"""Critical weights of L_k: against the inequality they solve, against the loss by quadrature, and against training."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from vae_lightning.distributions import GaussianLikelihood, LocationScale, StandardNormalPrior, gaussian_noise
from vae_lightning.objectives import Iwae, Pathwise
from vae_lightning.objectives.importance_weighted import critical_weights_of_bound
from vae_lightning.training_step import TrainingStep


def of_bound(critical_weight: float, k: int) -> float:
    return float(critical_weights_of_bound(torch.tensor([critical_weight], dtype=torch.float64), k))


@pytest.mark.parametrize("k", [2, 5, 50])
def test_above_one_it_solves_the_condition_and_below_one_it_is_the_elbos(k: int) -> None:
    c = 1 - 1 / k
    of_elbo = torch.linspace(1, 1 / c, 50, dtype=torch.float64)[1:-1]
    found = critical_weights_of_bound(of_elbo, k)
    torch.testing.assert_close(of_elbo * (c + (1 - c) ** 2 / (found - c)), torch.ones_like(of_elbo))
    below = torch.linspace(0, 1, 50, dtype=torch.float64)
    assert torch.equal(critical_weights_of_bound(below, k), below)


@pytest.mark.parametrize("k", [2, 5, 50])
def test_it_grows_without_a_step_at_one_and_without_end_towards_k_over_k_minus_one(k: int) -> None:
    pole = k / (k - 1)
    found = critical_weights_of_bound(torch.linspace(0, pole, 2001, dtype=torch.float64)[:-1], k)
    assert (found.diff() > 0).all()
    assert of_bound(1 + 1e-9, k) == pytest.approx(1 + 1e-9, abs=1e-14)  # with slope 1, too
    assert of_bound(pole * (1 - 1e-9), k) == pytest.approx(1e9 * pole / k**2, rel=1e-4)
    assert of_bound(pole * (1 + 1e-9), k) == of_bound(40.0, k) == math.inf


def test_of_one_code_it_is_the_elbos_and_of_more_it_is_larger_above_one() -> None:
    of_elbo = torch.tensor([80.0, 1.2, 1.0, 0.3, 0.0], dtype=torch.float64)
    assert torch.equal(critical_weights_of_bound(of_elbo, 1), of_elbo)
    assert 1.2 < of_bound(1.2, 2) < of_bound(1.2, 3) < of_bound(1.2, 5)


def gain(critical_weight: float, kl_weight: float, k: int) -> float:
    """Return by quadrature what the best of many encoders gains over the collapsed state, for p(x|z) = N(u z, 1) of a
    small u and x ~ N(0, critical_weight), in units of u^2 / 2."""
    u, nodes = 0.02, 10
    at, mass = (torch.tensor(part) for part in np.polynomial.hermite_e.hermegauss(nodes))
    mass = mass / mass.sum()
    best_slope = 1 / kl_weight if kl_weight <= 1 else (1 / k) / (kl_weight - 1 + 1 / k)
    slopes, x = u * best_slope * torch.linspace(0, 2, 21, dtype=torch.float64), at * math.sqrt(critical_weight)
    inside = min(kl_weight, 1.0)
    gains = []
    for s in (1.0, 1 - u**2 / 4, 1 - u**2):
        mean = slopes[:, None, None] * x[:, None]
        z = mean + math.sqrt(s) * at
        log_ratio = (math.log(s) + at**2 - z**2) / 2
        log_weights = u * x[:, None] * z - (u * z) ** 2 / 2 + inside * log_ratio
        total = torch.zeros(()).double()
        for codes in torch.cartesian_prod(*[torch.arange(nodes)] * k).split(1000):
            bound = log_weights[:, :, codes].logsumexp(-1) - math.log(k)
            total = total + (bound * mass[codes].prod(-1)).sum(-1) @ mass
        kl = (slopes**2 * critical_weight + s - 1 - math.log(s)) / 2
        gains.append(total - (kl_weight - inside) * kl)
    return float(torch.stack(gains).max()) / (u**2 / 2)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("critical_weight", [0.6, 1.0, 1.1, 1.3])
def test_a_direction_gains_in_the_loss_itself_below_its_critical_weight_only(critical_weight: float, k: int) -> None:
    onset = of_bound(critical_weight, k)
    assert gain(critical_weight, 0.95 * onset, k) > 0.002
    assert gain(critical_weight, 1.05 * onset, k) < -0.002


@pytest.mark.parametrize("k", [2, 3])
def test_beyond_k_over_k_minus_one_a_direction_gains_at_every_weight(k: int) -> None:
    assert gain(1.1 * k / (k - 1), 1000.0, k) > 0.05
    assert gain(0.9 * k / (k - 1), 1000.0, k) < -0.05


def trained(critical_weights: list[float], kl_weight: float) -> tuple[Tensor, Tensor]:
    """Train one linear VAE of one unit and one pixel for each critical weight, all in one batch, by the bound of five.

    Return their squared decoder gains and KLs.
    """
    n_models, n_images, n_steps, k = len(critical_weights), 128, 3000, 5
    quantiles = torch.special.ndtri((torch.arange(n_images) + 0.5) / n_images)
    x = torch.tensor(critical_weights).sqrt().unsqueeze(1) * quantiles / quantiles.square().mean().sqrt()
    encoder, decoder = (torch.full((n_models, 1), 0.3, requires_grad=True) for _ in range(2))
    log_variance = torch.zeros(n_models, 1, requires_grad=True)
    optimizer = torch.optim.Adam([encoder, decoder, log_variance], lr=0.01)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    generator = torch.Generator().manual_seed(0)
    objective = Iwae(Pathwise(kl="closed_form"), n_samples=k)
    likelihood, at = GaussianLikelihood(variance=1.0, mean="identity"), TrainingStep(0, n_steps, n_steps)

    def decode(codes: Tensor) -> Tensor:
        return (codes.reshape(k, n_models, n_images) * decoder).reshape(-1, 1, 1, 1)

    for _ in range(n_steps):
        means, log_variances = (encoder * x).reshape(-1, 1), log_variance.expand_as(x).reshape(-1, 1)
        posterior = LocationScale(means, log_variances, gaussian_noise())
        noise = torch.randn(k, n_models * n_images, 1, generator=generator)
        arguments = (StandardNormalPrior(), decode, likelihood, noise, kl_weight, at)
        bound = objective(x.reshape(-1, 1, 1, 1), posterior, *arguments)
        optimizer.zero_grad()
        (n_models * bound.loss).backward()
        optimizer.step()
        decay.step()
    return decoder.detach().square().flatten(), bound.kl_per_unit.reshape(n_models, n_images).mean(1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kl_weight", "critical_weights", "gains"),
    [
        (0.7, [0.6, 0.65, 0.75, 0.8], [0, 0, 0.05, 0.10]),
        (1.0, [0.9, 1.1, 1.3], [0, 0.10, 0.30]),
        (2.0, [1.05, 1.15, 1.25, 1.4], [0, 0, 0.05, 0.19]),
        (6.0, [1.1, 1.2, 1.3, 1.6], [0, 0, 0.05, 0.31]),
    ],
)
def test_in_training_the_decoder_starts_to_read_at_the_critical_weight(
    kl_weight: float, critical_weights: list[float], gains: list[float]
) -> None:
    found, kl = trained(critical_weights, kl_weight)
    living = torch.tensor([of_bound(critical_weight, 5) > kl_weight for critical_weight in critical_weights])
    assert (found[~living] < 0.003).all()
    assert (found[living] > 0.03).all()
    torch.testing.assert_close(found, torch.tensor(gains), atol=0.015, rtol=0)
    # Above a weight of 1 the decoder reads what the encoder hardly writes.
    assert (kl[living] > 0.02).all() if kl_weight <= 1 else (kl < 0.005).all()
