"""The weight at which a model was trained, told by the model: exact in closed form, near in real trainings."""

import pytest
import torch
from torch import Tensor, nn

from vae_lightning.diagnostics.implied_weight import NOBODY_LIVES, NOT_AT_REST, Balance, balance, implied_kl_weight
from vae_lightning.distributions import BernoulliLikelihood, GaussianLikelihood, Likelihood
from vae_lightning.estimates import Mean

N = 100_000


def one_unit(weight: float, stretched: float = 1.0) -> Balance:
    """x = g z + noise of variance v, the data of variance l: at the optimum g^2 = l - w v and s^2 = w v / l, and the
    mean is x g / l (shared with the linear VAE). ``stretched`` means are off the optimum."""
    data, variance = 2.5, 0.5 * min(1.0, 1 / weight)  # so that the unit lives
    critical = weight * variance
    generator = torch.Generator().manual_seed(0)
    x = data**0.5 * torch.randn(N, 1, generator=generator, dtype=torch.float64)
    gain = (data - critical) ** 0.5
    squared = torch.full((N, 1), critical / data, dtype=torch.float64)
    offsets = squared.sqrt() * torch.randn(2, N, 1, generator=generator, dtype=torch.float64)
    codes = (stretched * x * gain / data + offsets).requires_grad_()
    distortion = (x - gain * codes).square().sum(-1) / (2 * variance)
    return balance(distortion, codes, offsets, squared, 1.0)


@pytest.mark.parametrize("weight", [0.01, 0.7, 1.0, 30.0])
def test_one_unit_in_closed_form(weight: float) -> None:
    told = implied_kl_weight(one_unit(weight))
    assert isinstance(told, Mean)
    assert told.value == pytest.approx(weight, abs=4 * told.error)
    assert told.error < 0.02 * weight


@pytest.mark.parametrize("stretched", [-1.0, 0.3, 3.0])
def test_nothing_is_told_of_a_training_that_is_not_at_rest(stretched: float) -> None:
    assert implied_kl_weight(one_unit(1.0, stretched)) == NOT_AT_REST


def test_units_at_the_prior_tell_nothing() -> None:
    zeros = torch.zeros(100, 3)
    assert implied_kl_weight(Balance(zeros, zeros, zeros[:, 0], zeros[:, 0])) == NOBODY_LIVES


@pytest.mark.parametrize("seed", range(6))
def test_an_untrained_network_tells_nothing(seed: int) -> None:
    torch.manual_seed(seed)
    model, x = Small(64), images(500)
    assert isinstance(implied_kl_weight(balance_of(model, BernoulliLikelihood(), x)), str)


class Small(nn.Module):
    def __init__(self, n_values: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(n_values, 64), nn.Tanh(), nn.Linear(64, 8))
        self.decoder = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, n_values))


def images(n: int) -> Tensor:
    """Blots whose place and size vary."""
    generator = torch.Generator().manual_seed(1)
    at = torch.rand(n, 3, generator=generator)
    grid = torch.linspace(0, 1, 8)
    down, across = torch.meshgrid(grid, grid, indexing="ij")
    place = (across - at[:, 0, None, None]) ** 2 + (down - at[:, 1, None, None]) ** 2
    return torch.exp(-place / (0.03 + 0.05 * at[:, 2, None, None])).reshape(n, 1, 1, 64)


def balance_of(model: Small, likelihood: Likelihood, x: Tensor) -> Balance:
    mean, log_variance = model.encoder(x.flatten(1)).detach().chunk(2, dim=1)
    offsets = torch.randn(8, *mean.shape) * (log_variance / 2).exp()
    codes = (mean + offsets).requires_grad_()
    values = model.decoder(codes.flatten(0, 1)).unflatten(0, codes.shape[:2]).reshape(8, len(x), 1, 1, 64)
    return balance(-likelihood.log_prob(x, values), codes, offsets, log_variance.exp(), 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("weight", [0.01, 0.1, 0.5, 2.0])
@pytest.mark.parametrize("likelihood", [BernoulliLikelihood(), GaussianLikelihood(variance=0.05, mean="sigmoid")])
def test_a_trained_network_tells_its_weight(weight: float, likelihood: Likelihood) -> None:
    torch.manual_seed(0)
    x, model = images(2_000), Small(64)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for step in range(4_000):
        optimizer.param_groups[0]["lr"] = 2e-3 * min(1.0, 2 * (1 - step / 4_000))
        batch = x[torch.randint(0, len(x), (100,))]
        mean, log_variance = model.encoder(batch.flatten(1)).chunk(2, dim=1)
        codes = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1)
        values = model.decoder(codes).reshape(batch.shape)
        loss = (-likelihood.log_prob(batch, values) + weight * kl).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    told = implied_kl_weight(balance_of(model, likelihood, x))
    assert isinstance(told, Mean)
    assert told.value == pytest.approx(weight, rel=0.1)
