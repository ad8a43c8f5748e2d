"""Metrics for anyone's training: exact over batches and ranks, of one shape always, and misuse is an error."""

import pickle
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Laplace, Normal, kl_divergence
from torchmetrics import MetricCollection

from vae_lightning.diagnostics.unit_metrics import ActiveUnits, KLPerUnit
from vae_lightning.errors import Code, UserError

GENERATOR = torch.Generator().manual_seed(0)
MEANS = torch.randn(30, 4, generator=GENERATOR) * torch.tensor([1.0, 0.3, 0.09, 0.0])
LOG_VARIANCES = torch.randn(30, 4, generator=GENERATOR)
ACTIVE = 2
"""0.3² is above 0.01, 0.09² below."""
KL = kl_divergence(Normal(MEANS.double(), (LOG_VARIANCES.double() / 2).exp()), Normal(0.0, 1.0)).mean(0)


def filled(metric: Any, *tensors: Tensor, batch: int = 7) -> Any:
    for rows in torch.arange(len(tensors[0])).split(batch):
        metric.update(*(tensor[rows] for tensor in tensors))
    return metric


@pytest.mark.parametrize("batch", [1, 7, 30])
def test_both_are_of_all_rows_whatever_the_batches(batch: int) -> None:
    active = filled(ActiveUnits(4), MEANS, batch=batch).compute()
    assert (active.dtype, active.shape, int(active)) == (torch.int64, (), ACTIVE)
    kl = filled(KLPerUnit(4), MEANS, LOG_VARIANCES, batch=batch).compute()
    assert (kl.dtype, kl.shape) == (torch.float64, (4,))
    torch.testing.assert_close(kl, KL)


def test_a_batch_by_itself_may_have_no_variance() -> None:
    metric = ActiveUnits(1)
    for value in (-1.0, 1.0):
        metric.update(torch.full((5, 1), value))
    assert int(metric.compute()) == 1


@pytest.mark.parametrize("shift", [1e4, 1e9])
def test_large_means_drown_no_variance_and_make_none(shift: float) -> None:
    """Check a variance of 0.0101 and one of 0.0099, about means at which squares in doubles would not tell them."""
    signs = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(50)
    means = shift + torch.stack([signs * 0.0101**0.5, signs * 0.0099**0.5, 0 * signs], dim=1)
    assert int(filled(ActiveUnits(3), means, batch=9).compute()) == 1


def test_the_threshold_is_the_callers() -> None:
    found = [int(filled(ActiveUnits(4, threshold), MEANS).compute()) for threshold in (0.0, 0.05, 10.0)]
    assert found == [3, 2, 0]


@pytest.mark.parametrize("posterior", [Normal(MEANS, (LOG_VARIANCES / 2).exp()),
                                       Independent(Normal(MEANS, (LOG_VARIANCES / 2).exp()), 1)])  # fmt: skip
def test_a_normal_stands_for_both(posterior: Any) -> None:
    kl, active = KLPerUnit(4), ActiveUnits(4)
    kl.update(posterior)
    active.update(posterior)
    torch.testing.assert_close(kl.compute(), KL)
    assert int(active.compute()) == ACTIVE


def test_a_code_of_one_unit_is_not_squeezed() -> None:
    mean, log_variance = MEANS[:, :1], LOG_VARIANCES[:, :1]
    metric = KLPerUnit(1)
    assert metric(mean, log_variance).shape == (1,)
    assert metric.compute().shape == metric.compute().shape == (1,)  # computed, and remembered
    assert pickle.loads(pickle.dumps(metric)).compute().shape == (1,)  # noqa: S301
    collection = MetricCollection([KLPerUnit(1), ActiveUnits(1)])
    for found in (collection(mean=mean, log_variance=log_variance), collection.compute()):
        assert found["KLPerUnit"].shape == (1,)
        assert found["ActiveUnits"].shape == ()
        torch.testing.assert_close(found["KLPerUnit"], KL[:1])


def test_forward_gives_the_batch_and_adds_it() -> None:
    kl, active = KLPerUnit(4), ActiveUnits(4)
    for rows in torch.arange(30).split(10):
        of_batch = kl(MEANS[rows], LOG_VARIANCES[rows])
        torch.testing.assert_close(of_batch, filled(KLPerUnit(4), MEANS[rows], LOG_VARIANCES[rows]).compute())
        active(MEANS[rows])
    torch.testing.assert_close(kl.compute(), KL)
    assert int(active.compute()) == ACTIVE


def test_reset_forgets_and_states_are_saved_and_moved() -> None:
    metric = filled(ActiveUnits(4), MEANS).to("cpu")
    metric.persistent(True)
    other = ActiveUnits(4)
    other.persistent(True)
    other.load_state_dict(metric.state_dict())
    other.update(MEANS)
    assert int(other.compute()) == ACTIVE
    assert other.n_rows == 60
    other.reset()
    assert other.n_rows == 0
    with pytest.raises(UserError) as caught:
        other.compute()
    assert caught.value.code is Code.MISSING


def test_two_metrics_merge_to_one_of_all_rows() -> None:
    """Check how ranks are joined: each state by its own reduction, of ranks of which one saw nothing."""
    shifted = MEANS + 1e6
    parts = [filled(ActiveUnits(4), shifted[:11]), filled(ActiveUnits(4), shifted[11:]), ActiveUnits(4)]
    joined = parts[0]._reductions["moments"](torch.stack([part.moments for part in parts]))
    torch.testing.assert_close(joined, filled(ActiveUnits(4), shifted, batch=30).moments)


ON_TWO_RANKS = """
import sys, torch
from torch import distributed
from vae_lightning.diagnostics.unit_metrics import ActiveUnits, KLPerUnit
rank = int(sys.argv[1])
distributed.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
means, log_variances = torch.load(sys.argv[3])
active, kl, of_one, late = ActiveUnits(4), KLPerUnit(4), KLPerUnit(1), KLPerUnit(4)
for rows in torch.arange(30)[rank::2].split(4):
    active.update(means[rows])
    kl.update(means[rows], log_variances[rows])
    of_one.update(means[rows, :1], log_variances[rows, :1])
if rank == 0:
    late.update(means, log_variances)
    found = [active.compute(), kl.compute(), of_one.compute(), late.compute()]
    torch.save(found, sys.argv[3])
else:
    [metric.compute() for metric in (active, kl, of_one, late)]
distributed.barrier()  # who leaves first would take the other's connection along
distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_ranks_give_what_one_gives(tmp_path: Any) -> None:
    torch.save((MEANS, LOG_VARIANCES), tmp_path / "rows")
    ranks = [
        subprocess.Popen([sys.executable, "-c", ON_TWO_RANKS, str(rank), tmp_path / "meet", tmp_path / "rows"])
        for rank in range(2)
    ]
    assert [rank.wait() for rank in ranks] == [0, 0]
    active, kl, of_one, late = torch.load(tmp_path / "rows")
    assert int(active) == ACTIVE
    assert of_one.shape == (1,)
    for found, expected in ((kl, KL), (of_one, KL[:1]), (late, KL)):
        torch.testing.assert_close(found, expected)


BAD = {
    "labels": (torch.arange(6).reshape(3, 2), Code.INVALID),
    "one dimension": (torch.zeros(3), Code.INVALID),
    "spatial codes": (torch.zeros(3, 2, 4, 4), Code.INVALID),
    "another number of units": (torch.zeros(3, 5), Code.INCOMPATIBLE),
    "nan": (torch.tensor([[0.0, float("nan")]]), Code.NOT_FINITE),
    "infinite": (torch.tensor([[0.0, float("inf")]]), Code.NOT_FINITE),
}


@pytest.mark.parametrize(("values", "code"), BAD.values(), ids=BAD.keys())
def test_what_are_no_means_is_an_error_and_changes_nothing(values: Tensor, code: Code) -> None:
    good = torch.zeros(len(values), 2)
    for metric, given, name in (
        (ActiveUnits(2), (values,), "mean"),
        (KLPerUnit(2), (values, good), "mean"),
        (KLPerUnit(2), (good, values), "log_variance"),
    ):
        with pytest.raises(UserError) as caught:
            metric.update(*given)
        assert caught.value.code is code
        assert caught.value.about[0] == name
        assert metric.n_rows == 0


def test_what_does_not_go_together_is_an_error() -> None:
    normal = Normal(torch.zeros(3, 2), torch.ones(3, 2))
    for given, code, about in (
        ((torch.zeros(3, 2), torch.zeros(4, 2)), Code.INCOMPATIBLE, ("mean", "log_variance")),
        ((torch.zeros(3, 2),), Code.MISSING, ("log_variance",)),
        ((normal, torch.zeros(3, 2)), Code.INCOMPATIBLE, ("log_variance",)),
        ((Laplace(torch.zeros(3, 2), torch.ones(3, 2)),), Code.INVALID, ("mean",)),
    ):
        with pytest.raises(UserError) as caught:
            KLPerUnit(2).update(*given)
        assert (caught.value.code, caught.value.about) == (code, about)


@pytest.mark.parametrize("metric", [ActiveUnits(2), KLPerUnit(2), KLPerUnit(1)], ids=["active", "kl", "one unit"])
def test_compute_before_update_is_an_error_and_no_warning(metric: Any) -> None:
    with pytest.raises(UserError) as caught:
        metric.compute()
    assert (caught.value.code, caught.value.about) == (Code.MISSING, ("update",))


def test_settings_are_checked() -> None:
    for make, about in (
        (lambda: ActiveUnits(0), "latent_dim"),
        (lambda: KLPerUnit(-1), "latent_dim"),
        (lambda: ActiveUnits(2, float("nan")), "threshold"),
        (lambda: ActiveUnits(2, -0.1), "threshold"),
    ):
        with pytest.raises(UserError) as caught:
            make()
        assert (caught.value.code, caught.value.about) == (Code.INVALID, (about,))
