import torch

from vae_lightning.diagnostics import PosteriorMeanMoments, active_units


def test_the_count_is_strictly_above_the_threshold() -> None:
    assert active_units(torch.tensor([0.5, 0.01, 0.0100001, 0.0])) == 2


def test_oracles_identity_constant_and_duplicated_units() -> None:
    x = torch.linspace(-1, 1, 101).unsqueeze(1)
    means = torch.cat([x, torch.full_like(x, 7.0), x], dim=1)
    metric = PosteriorMeanMoments(3)
    metric.update(means)
    torch.testing.assert_close(metric.compute().mean, means.double().mean(0))
    torch.testing.assert_close(metric.compute().variance, means.double().var(0, correction=0))
    assert active_units(metric.compute().variance) == 2


def test_the_batches_do_not_matter_and_a_large_mean_drowns_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    means = 1000 + 0.05 * torch.randn(1000, 2, generator=generator)
    expected = means.double().var(0, correction=0)
    for batch_size in (1, 7, 1000):
        metric = PosteriorMeanMoments(2)
        for batch in means.split(batch_size):
            metric.update(batch)
        torch.testing.assert_close(metric.compute().variance, expected, rtol=1e-6, atol=0)
