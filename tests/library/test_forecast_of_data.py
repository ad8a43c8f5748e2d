"""The library's forecast: the same of whatever holds the same rows, right on a known spectrum, clear about the rest."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from library.linear import SPECTRUM, rows
from torch.utils.data import DataLoader, Dataset, TensorDataset

import vae_lightning as vl
from vae_lightning import theory
from vae_lightning.data import Images
from vae_lightning.library.rows import rows_of, values_of_item
from vae_lightning.theory import pixel_moments

GAUSSIAN = vl.likelihood("gaussian", variance=0.5)


class Pairs(Dataset[Any]):
    """Rows with labels, as torchvision's sets have them."""

    def __init__(self, values: torch.Tensor, as_dict: bool = False) -> None:
        self.values, self.as_dict = values, as_dict

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> Any:
        return {"image": self.values[index], "label": 3} if self.as_dict else (self.values[index], 3)


X = rows(1200)
HOLDERS = {
    "tensor": X,
    "array": X.numpy(),
    "double": X.double(),
    "list": X.tolist(),
    "frame": pd.DataFrame(X.numpy()),
    "sparse": scipy.sparse.csr_matrix(X.numpy()),
    "TensorDataset": TensorDataset(X, torch.zeros(len(X))),
    "Dataset": Pairs(X),
    "Dataset of dicts": Pairs(X, as_dict=True),
    "DataLoader": DataLoader(Pairs(X), batch_size=100),
    "DataLoader of dicts": DataLoader(Pairs(X, as_dict=True), batch_size=100, shuffle=True),
    "dict": {"x": X},
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_the_same_rows_have_the_same_forecast_in_whatever_holds_them(holder: str) -> None:
    found = vl.forecast(HOLDERS[holder], GAUSSIAN, [1.0, 5.0], latent_dim=4)
    assert found.critical_kl_weights == pytest.approx(np.array(SPECTRUM) / 0.5, rel=1e-4)
    assert found.active_units.tolist() == [3, 2]


def test_a_shuffled_loader_leaves_the_random_numbers_as_they_are() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    vl.forecast(DataLoader(Pairs(X), batch_size=100, shuffle=True), GAUSSIAN)
    assert torch.equal(torch.get_rng_state(), before)


def test_numbers_have_the_shape_of_the_weight() -> None:
    one, several = (vl.forecast(X, GAUSSIAN, weight, latent_dim=4) for weight in (1.0, [1.0, 5.0]))
    assert (one.active_units.shape, one.kl_ceiling.shape) == ((), ())
    assert (several.active_units.shape, several.kl_ceiling.shape) == ((2,), (2,))
    assert int(one.active_units) == 3
    # trace(C) / (2 sigma^2) over the weight
    assert several.kl_ceiling == pytest.approx([sum(SPECTRUM) / 1.0, sum(SPECTRUM) / 5.0], rel=1e-4)
    assert np.isinf(vl.forecast(X, GAUSSIAN, 0.0).kl_ceiling)


def test_what_holds_on_new_data_is_below_what_the_sample_says() -> None:
    found = vl.forecast(X, GAUSSIAN, latent_dim=4)
    assert found.critical_kl_weights_on_new_data.shape == found.standard_error.shape
    assert found.critical_kl_weights_on_new_data[0] == pytest.approx(12.0, abs=3 * found.standard_error[0])


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_the_weight_for_so_many_units_lets_so_many_live(n: int) -> None:
    weight = vl.forecast(X, GAUSSIAN, latent_dim=4).kl_weight_for(active_units=n)
    assert int(vl.forecast(X, GAUSSIAN, weight, latent_dim=4).active_units) == n


def test_a_loss_is_likelihood_and_weight_at_once() -> None:
    by_loss = vl.forecast(X, loss=vl.from_loss("mse_mean", weight=0.2), latent_dim=4)
    assert float(by_loss.kl_weight) == pytest.approx(1.0)  # five values
    assert int(by_loss.active_units) == 3
    weight = by_loss.loss_weight_for(active_units=2)
    assert int(vl.forecast(X, loss=vl.from_loss("mse_mean", weight=weight), latent_dim=4).active_units) == 2


def test_bytes_of_0_and_1_are_bits() -> None:
    bits = torch.randint(0, 2, (500, 6), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    found, expected = (vl.forecast(each, "bernoulli", latent_dim=2) for each in (bits, bits.float()))
    assert found.critical_kl_weights == pytest.approx(expected.critical_kl_weights)
    assert found.notes == expected.notes == ()


def test_a_loader_gives_its_first_rows_and_says_so() -> None:
    rows = rows_of(DataLoader(TensorDataset(X), batch_size=100), most=300)
    assert torch.equal(rows.values, X[:300])
    assert any("first" in note for note in rows.notes)
    assert len(rows_of(X, most=300).values) == 300
    assert not torch.equal(rows_of(X, most=300).values, X[:300])


def test_rows_may_be_lists_of_numbers_and_lie_deep_in_a_batch() -> None:
    class Lists(Pairs):
        def __getitem__(self, index: int) -> Any:
            return self.values[index].tolist()

    nested = [({"x": X[:100]}, torch.zeros(100))]
    assert torch.equal(rows_of(Lists(X), most=5000).values, X)
    assert torch.equal(values_of_item(nested[0], "x"), X[:100])


def test_a_column_far_from_0_is_named() -> None:
    assert any("offset" in note for note in vl.forecast(X.double() + 1e8, GAUSSIAN).notes)


def test_bytes_are_shares_unless_they_are_counts() -> None:
    data = torch.randint(0, 200, (500, 6), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    as_bytes = vl.forecast(data, GAUSSIAN, latent_dim=2).critical_kl_weights
    assert as_bytes == pytest.approx(vl.forecast(data.float() / 255, GAUSSIAN, latent_dim=2).critical_kl_weights)
    counts = vl.forecast(data, "poisson", latent_dim=2).critical_kl_weights
    assert counts == pytest.approx(vl.forecast(data.long(), "poisson", latent_dim=2).critical_kl_weights)
    assert counts[0] > 20  # of variance over mean, some 33


@pytest.mark.parametrize("name", ["bernoulli", "continuous_bernoulli", "gaussian_learned", "student_t"])
def test_every_likelihood_has_its_name(name: str) -> None:
    images = torch.rand(400, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    found = vl.forecast(images, name, 1.0, latent_dim=3)
    moments = pixel_moments(Images(images, torch.zeros(400, dtype=torch.long)), "none")
    expected = theory.forecast(moments, vl.likelihood(name), 3)
    assert isinstance(expected, theory.Forecast)
    assert found.critical_kl_weights == pytest.approx(expected.critical_weights.numpy(), rel=1e-5)
    assert int(found.active_units) == expected.active_units(1.0)
    assert len(found.to_frame()) == len(found.critical_kl_weights)


def test_it_is_drawn_and_framed() -> None:
    found = vl.forecast(X, GAUSSIAN, [0.1, 1.0], latent_dim=4)
    assert len(found.plot().axes) == 1
    frame = found.to_frame()
    assert frame["lives_at_1"].tolist() == [True, True, True, False, False]
    assert frame["critical_kl_weight"].tolist() == pytest.approx([2 * each for each in SPECTRUM], rel=1e-4)


CONSTANT = torch.cat([X, torch.ones(len(X), 2)], dim=1)


def test_columns_that_never_vary_and_one_that_hides_the_others_are_named() -> None:
    assert any("never vary" in note for note in vl.forecast(CONSTANT, GAUSSIAN).notes)
    scales = torch.tensor([1000.0, 1, 1, 1, 1])
    assert any("standardise" in note for note in vl.forecast(X * scales, GAUSSIAN).notes)
    assert vl.forecast(X, GAUSSIAN).notes == ()


def test_so_many_units_as_there_are_directions() -> None:
    found = vl.forecast(X, GAUSSIAN, latent_dim=4)
    for wrong in (-1, 5, 99):
        with pytest.raises(vl.UserError) as refused:
            found.kl_weight_for(active_units=wrong)
        assert refused.value.about == ("active_units",)


def test_a_learned_scale_has_no_ceiling_and_few_rows_tell_nothing_of_new_ones() -> None:
    with pytest.raises(vl.UserError):
        _ = vl.forecast(X, "gaussian_learned").kl_ceiling
    with pytest.raises(vl.UserError):
        _ = vl.forecast(X[:5], GAUSSIAN).standard_error
    assert str(vl.forecast(X[:5], GAUSSIAN)).count("\n") >= 2
