"""Verdicts on planted models: what one more unit would earn, units that are ignored, units that tell the same."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from vae_lightning.diagnostics import Residuals, evidence, regional_gains, residual_spectrum, verdict
from vae_lightning.diagnostics.unread import gain_of_reading, idle_nats, told_twice
from vae_lightning.estimates import Mean
from vae_lightning.theory.linear_vae import gain_of_direction, linear_vae

N, W = 8_000, 1.0


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def residuals_of(rows: Tensor, scatter: float = 0.0) -> Residuals:
    """Return residuals of a Gaussian decoder with sigma^2 = 1; ``scatter`` is that of the codes' average."""
    one, other = (rows + scatter * torch.randn(rows.shape, generator=drawn(90 + k)) for k in range(2))
    d = rows.shape[1]
    return Residuals(one, other, torch.ones_like(rows), torch.ones(1, 1, d).double(), torch.arange(len(rows)))


class Linear:
    """The optimum of a linear VAE on Gaussian data, in its eigenbasis."""

    def __init__(self, spectrum: list[float], latent_dim: int, kl_weight: float = W) -> None:
        self.eigenvalues = torch.tensor(spectrum).double()
        found = linear_vae(self.eigenvalues, latent_dim, kl_weight, 1.0)
        x = torch.randn(N, len(spectrum), generator=drawn(1)) * self.eigenvalues.sqrt().float()
        k = min(latent_dim, len(spectrum))
        self.means = torch.zeros(N, latent_dim)
        self.means[:, :k] = x[:, :k] * found.encoder_gain[:k].float()
        noise = torch.randn(N, latent_dim, generator=drawn(2))
        self.codes = self.means + found.posterior_variance.sqrt().float() * noise
        gains = found.decoder_gain_squared.sqrt().float()
        self.residual = x.clone()
        self.residual[:, :k] -= self.means[:, :k] * gains[:k]
        self.kl = found.kl_per_unit
        self.living = found.living

    def judged(self, price: float = W, **changed: Any) -> Any:
        about: dict[str, Any] = {"written": self.living, "read": self.living, "price": price}
        return verdict(
            evidence(residuals_of(self.residual, 0.3), self.means, self.codes, self.kl, **{**about, **changed})
        )


def test_a_linear_optimum_is_healthy_or_pruned_and_nothing_is_to_be_had() -> None:
    full, spare = Linear([4.0, 2.0, 0.5, 0.3], 2).judged(), Linear([4.0, 2.0, 0.5, 0.3], 4).judged()
    assert (full.word, spare.word) == ("healthy", "pruned")
    for found in (full, spare):
        assert found.stake.value == 0
        assert found.at_most == 0
        assert abs(found.margin - 0.5) < 4 * found.error


def test_what_a_missing_unit_would_earn_is_the_difference_of_the_linear_optima() -> None:
    spectrum = [6.0, 4.0, 2.5, 0.5]
    for latent_dim in (1, 2):
        found = Linear(spectrum, latent_dim).judged()
        eigenvalues = torch.tensor(spectrum).double()
        truth = linear_vae(eigenvalues, latent_dim, W, 1.0).objective
        truth -= linear_vae(eigenvalues, latent_dim + 1, W, 1.0).objective
        assert truth == pytest.approx(gain_of_direction(spectrum[latent_dim], W))
        assert found.word == "starved"
        assert abs(found.stake.value - truth) < 4 * found.stake.error
        assert found.stake.error < 0.1 * truth


def test_a_dead_unit_beside_a_direction_that_pays_is_collapse() -> None:
    model = Linear([6.0, 4.0, 0.5], 1)
    beside = torch.randn(N, 1, generator=drawn(5))
    found = verdict(
        evidence(
            residuals_of(model.residual),
            torch.cat([model.means, 0 * beside], 1),
            torch.cat([model.codes, beside], 1),
            torch.tensor([float(model.kl[0]), 0.0]),
            written=torch.tensor([True, False]),
            read=torch.tensor([True, False]),
            price=W,
        )
    )
    assert found.word == "collapsed"


def clustered(own: float) -> tuple[Residuals, Tensor, Tensor]:
    """Return residuals of four clusters of codes, each with a direction of its own along which rows vary by ``own``."""
    of_row = torch.randint(0, 4, (N,), generator=drawn(6))
    places = torch.tensor([[3.0, 3.0], [3.0, -3.0], [-3.0, 3.0], [-3.0, -3.0]])[of_row]
    means = places + 0.2 * torch.randn(N, 2, generator=drawn(7))
    along = torch.zeros(N, 12)
    along[torch.arange(N), of_row] = math.sqrt(own) * torch.randn(N, generator=drawn(8))
    rest = torch.zeros(N, 12)
    rest[:, 4:] = 0.5 * torch.randn(N, 8, generator=drawn(9))
    return residuals_of(along + rest, 0.3), means, means + 0.02 * torch.randn(N, 2, generator=drawn(10))


def test_a_direction_of_each_cluster_is_seen_where_the_pooled_one_hides_it() -> None:
    """The pooled covariance has own / 4 along each of the four: below the weight, where a unit earns half a nat."""
    residuals, means, codes = clustered(3.0)
    gains = regional_gains(residuals, means, codes, W, (1, 4, 10))
    truth = gain_of_direction(3.0, W)
    by_number = {each.n_regions: each.gain for each in gains}
    assert by_number[1].value == 0
    for n in (4, 10):
        assert abs(by_number[n].value - truth) < 4 * by_number[n].error + 0.02
    both = torch.tensor([True, True])
    about = {"written": both, "read": both, "price": W}
    found = verdict(evidence(residuals, means, codes, torch.tensor([2.0, 2.0]), **about))
    assert found.margin < 1
    # These codes are far from the prior's distribution, which by itself says that the training is not over.
    assert found.word == "undertrained"
    scale = means.std(0)
    found = verdict(evidence(residuals, means / scale, codes / codes.std(0), torch.tensor([2.0, 2.0]), **about))
    assert found.word == "starved"
    assert abs(found.stake.value - truth) < 4 * found.stake.error + 0.02


def test_regions_cut_out_of_a_continuum_earn_nothing_where_there_is_nothing() -> None:
    means = torch.randn(N, 2, generator=drawn(11))
    residuals = residuals_of(0.9 * torch.randn(N, 20, generator=drawn(12)))
    codes = means + 0.1 * torch.randn(N, 2, generator=drawn(13))
    found = regional_gains(residuals, means, codes, W, (1, 4, 10, 20))
    assert len(found) >= 3
    assert all(each.gain.value < 0.01 for each in found)


def test_regions_narrow_beside_the_posteriors_are_not_asked() -> None:
    means = torch.randn(N, 1, generator=drawn(14))
    wide = means + 2.0 * torch.randn(N, 1, generator=drawn(15))
    residuals = residuals_of(torch.randn(N, 4, generator=drawn(16)))
    assert [each.n_regions for each in regional_gains(residuals, means, wide, W, (1, 4, 10))] == [1]


def test_the_decoders_misfit_is_no_missing_unit() -> None:
    """A mean residual of each region is the decoder's to mend."""
    means = torch.randn(N, 2, generator=drawn(17)) + 4 * torch.randint(0, 2, (N, 2), generator=drawn(18))
    misfit = 2.0 * (means > 2).float() @ torch.randn(2, 6, generator=drawn(19))
    residuals = residuals_of(misfit - misfit.mean(0) + 0.5 * torch.randn(N, 6, generator=drawn(20)))
    gains = {each.n_regions: each.gain for each in regional_gains(residuals, means, means, W, (1, 4))}
    assert gains[1].value > 0.3
    assert gains[4].value < 0.02


def test_a_unit_that_the_decoder_ignores_is_named_with_what_it_would_earn() -> None:
    """The column of the second unit is cut: reading it brings back what it brought."""
    model = Linear([9.0, 6.0, 0.5], 2)
    cut = model.residual.clone()
    gain = math.sqrt(6.0 - 1.0)
    cut[:, 1] += model.means[:, 1] * gain
    of_unit = gain_of_reading(residuals_of(cut), model.means, model.codes)
    truth = 0.5 * gain**2  # u'E[r z] - u'u E[z^2] / 2 at u = E[r z] = gain, as E[z^2] = 1
    assert abs(float(of_unit[0, 1]) - truth) < 4 * float(of_unit[1, 1]) + 0.02 * truth
    model.residual = cut
    found = model.judged(read=torch.tensor([True, False]))
    assert found.word == "collapsed"
    assert "unit 1" in found.sentence
    assert found.stake.value == pytest.approx(truth - float(model.kl[1]), rel=0.05)


def test_units_that_tell_the_same_are_named_and_cost_what_a_merger_would_save() -> None:
    model = Linear([6.0, 0.5], 1)
    means = model.means.expand(-1, 2)
    s = math.sqrt(1 / 6)
    codes = means + s * torch.randn(N, 2, generator=drawn(21))
    both = torch.tensor([True, True])
    assert told_twice(means, both) == [(0, 1)]
    assert told_twice(means, torch.tensor([True, False])) == []
    # Codes of covariance [[1, 5/6], [5/6, 1]]: KL to N(0, I) = -ln(1 - 25/36) / 2.
    truth = -0.5 * math.log(1 - (5 / 6) ** 2)
    found = idle_nats(means, codes)
    assert abs(found.value - truth) < 0.05
    kl = torch.tensor([float(model.kl[0])] * 2)
    judged = verdict(evidence(residuals_of(model.residual), means, codes, kl, written=both, read=both, price=W))
    assert judged.word == "undertrained"
    assert judged.stake.value == pytest.approx(truth, abs=0.05)


def test_codes_that_are_distributed_as_the_prior_idle_nothing() -> None:
    for n, latent_dim in ((500, 20), (8_000, 3)):
        found = [idle_nats(c, c) for c in (torch.randn(n, latent_dim, generator=drawn(s)) for s in range(20))]
        assert max(each.value - 2 * each.error for each in found) <= 0.02


def test_kl_of_units_that_nothing_reads_is_a_training_that_is_not_over() -> None:
    """As after a few dozen steps: 9 nats of KL and no unit that lives."""
    model = Linear([0.5, 0.4], 2)
    noise = torch.randn(N, 2, generator=drawn(22))
    found = verdict(
        evidence(
            residuals_of(model.residual), noise, noise, torch.tensor([5.0, 4.0]), price=W,
            written=torch.tensor([True, True]), read=torch.tensor([False, False]),
        )
    )  # fmt: skip
    assert found.word == "undertrained"
    assert found.stake.value == pytest.approx(9.0)


def test_what_is_missing_is_told_from_what_is_on_its_way() -> None:
    model = Linear([6.0, 4.0, 0.5], 1)
    missing = gain_of_direction(4.0, W)
    assert model.judged(falling=Mean(0.9 * missing, 0.01)).word == "undertrained"
    assert model.judged(falling=Mean(0.2 * missing, 0.01)).word == "starved"
    assert model.judged(falling=Mean(0.9 * missing, missing)).word == "starved"  # or it is noise
    done = Linear([6.0, 0.5], 1)
    assert done.judged(falling=Mean(5.0, 0.01)).word == "healthy"  # whatever else may improve


def test_a_cause_comes_first() -> None:
    model = Linear([6.0, 4.0, 0.5], 1)
    found = model.judged(cause="the data are 135,695 times as far away as they are said to be")
    assert found.word == "undecided"
    assert "135,695" in found.sentence


def test_a_gain_too_small_to_matter_is_no_harm() -> None:
    model = Linear([6.0, 1.4, 0.5], 1)
    assert gain_of_direction(1.4, W) < 0.1
    assert model.judged().word == "healthy"
    assert model.judged().margin > 1


def test_what_is_not_finite_is_undecided() -> None:
    model = Linear([6.0, 0.5], 2)
    spectrum = residual_spectrum(residuals_of(model.residual))._replace(largest=math.nan)
    assert model.judged(residual=spectrum).word == "undecided"


def test_changes_without_a_curvature_leave_a_rightful_death_undecided_and_no_other_word() -> None:
    """What is seen to pay does so whatever they do."""
    done, short = Linear([6.0, 0.5], 2), Linear([6.0, 4.0, 0.5], 1)
    for model, word in ((done, "undecided"), (short, "starved")):
        spectrum = residual_spectrum(residuals_of(model.residual))._replace(unpriced=1)
        assert model.judged(residual=spectrum).word == word
