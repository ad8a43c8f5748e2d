import torch

from vae_lightning.diagnostics import RateDistortionMetric


def test_every_image_counts_once_whatever_the_batches() -> None:
    generator = torch.Generator().manual_seed(0)
    distortion = torch.rand(10, generator=generator) * 500
    kl_per_unit = torch.rand(10, 3, generator=generator)
    for batch_size in (1, 3, 10):
        metric = RateDistortionMetric(3)
        for rows in torch.arange(10).split(batch_size):
            metric.update(distortion[rows], kl_per_unit[rows])
        found = metric.compute()
        torch.testing.assert_close(found.distortion, distortion.double().mean())
        torch.testing.assert_close(found.kl_per_unit, kl_per_unit.double().mean(0))
        torch.testing.assert_close(found.kl, kl_per_unit.double().sum(1).mean())
        torch.testing.assert_close(found.elbo, -(distortion.double() + kl_per_unit.double().sum(1)).mean())
