"""A loss as other code writes it is the likelihood and the KL weight that it is read as."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy, mse_loss

from vae_lightning.errors import Code, UserError
from vae_lightning.theory import from_loss

BATCH, VALUES, UNITS = 7, 12, 3


def as_written(reconstruction: str, kl: str, over_batch: str, kl_over_batch: str, weight: float, at: int) -> Tensor:
    """Compute a loss as a notebook would, at one of two settings of reconstruction and posterior."""
    generator = torch.Generator().manual_seed(at)
    x, xh = example(at)
    mean, log_variance = (torch.randn(BATCH, UNITS, generator=generator, dtype=torch.float64) for _ in range(2))
    per_unit = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)
    how = {"reduction": "none"}
    each = mse_loss(xh, x, **how) if "mse" in reconstruction else binary_cross_entropy(xh, x, **how)
    each = each / 2 if reconstruction.startswith("half") else each
    of_rows = each.mean(1) if reconstruction.endswith("mean") else each.sum(1)
    kl_of_rows = per_unit.mean(1) if kl == "mean" else per_unit.sum(1)
    error = of_rows.sum() if over_batch == "sum" else of_rows.mean()
    return error + weight * (kl_of_rows.sum() if kl_over_batch == "sum" else kl_of_rows.mean())


def example(at: int) -> tuple[Tensor, Tensor]:
    x = torch.rand(BATCH, VALUES, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    return x, torch.rand(BATCH, VALUES, generator=torch.Generator().manual_seed(50 + at), dtype=torch.float64)


def kl_in_nats(at: int) -> Tensor:
    generator = torch.Generator().manual_seed(at)
    mean, log_variance = (torch.randn(BATCH, UNITS, generator=generator, dtype=torch.float64) for _ in range(2))
    posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
    return torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()


@pytest.mark.parametrize(
    ("reconstruction", "kl", "over_batch", "kl_over_batch"),
    [
        *itertools.product(
            ["mse_sum", "half_mse_sum", "mse_mean", "bce_sum", "bce_mean"],
            ["sum", "mean"],
            ["mean", "sum"],
            ["mean", "sum"],
        )
    ],
)
def test_it_is_a_multiple_of_the_same_loss_in_nats(
    reconstruction: str, kl: str, over_batch: str, kl_over_batch: str
) -> None:
    loss = from_loss(
        reconstruction,  # type: ignore[arg-type]
        weight=0.3,
        kl=kl,  # type: ignore[arg-type]
        reconstruction_over_batch=over_batch,  # type: ignore[arg-type]
        kl_over_batch=kl_over_batch,  # type: ignore[arg-type]
        batch_size=BATCH,
    )
    read = loss.in_nats(VALUES, UNITS)
    in_nats = []
    for at in (0, 1):
        x, xh = (each.reshape(BATCH, 1, 1, VALUES) for each in example(at))
        values = read.likelihood.values_of_mean(xh)
        distortion = -read.likelihood.log_prob(x, values).mean()
        in_nats.append(distortion + float(read.kl_weight) * kl_in_nats(at))
    written = [as_written(reconstruction, kl, over_batch, kl_over_batch, 0.3, at) for at in (0, 1)]
    # A constant of the density falls out of the difference.
    assert float(read.nats * (written[1] - written[0])) == pytest.approx(float(in_nats[1] - in_nats[0]), rel=1e-4)


def test_back_is_the_weight_that_was_written() -> None:
    read = from_loss("mse_mean", weight=1e-3, kl="mean").in_nats(784, 20)
    assert float(read.kl_weight) == pytest.approx(1e-3 * 784 / 20)
    assert read.weight_for(float(read.kl_weight)) == pytest.approx(1e-3)
    assert from_loss("bce_mean", weight=[1.0, 2.0]).in_nats(784, None).kl_weight.tolist() == [784, 1568]


def test_a_mean_over_units_needs_their_number() -> None:
    with pytest.raises(UserError) as refused:
        from_loss("mse_sum", kl="mean").in_nats(10, None)
    assert (refused.value.code, refused.value.about) == (Code.MISSING, ("latent_dim",))
