import pytest
import torch

from vae_lightning.diagnostics.step_buffer import (
    StepBuffer,
    check_finite,
    check_finite_evaluation,
    check_finite_weights,
    mean_terms,
)
from vae_lightning.errors import Code, UserError
from vae_lightning.objectives import Bound


def rows_of(window: StepBuffer, *losses: float) -> None:
    for loss in losses:
        bound = Bound(torch.tensor(loss), torch.tensor([10.0, 20.0]) * loss, torch.tensor([[1.0, 0.0], [3.0, 2.0]]))
        window.add(bound, torch.tensor(0.5) if loss > 1 else 0.25)


def test_rows_are_averaged_over_images_then_over_steps() -> None:
    window = StepBuffer()
    rows_of(window, 1.0, 3.0)
    rows = window.mean_over_ranks(lambda own: own)
    assert mean_terms(rows) == {"loss": 2.0, "distortion": 30.0, "kl": 3.0, "elbo": -33.0, "kl_weight": 0.5}
    window.clear()
    assert len(window.mean_over_ranks(lambda own: own)) == 0


def test_ranks_take_their_mean_of_each_row_once() -> None:
    """Saved in between or not, the rows are the same: the means of earlier ones are kept as they are."""
    window, times_asked = StepBuffer(), []

    def mean(own: torch.Tensor) -> torch.Tensor:
        times_asked.append(len(own))
        return own + 1

    rows_of(window, 1.0, 3.0)
    saved = window.mean_over_ranks(mean)
    rows_of(window, 5.0)
    assert torch.equal(window.mean_over_ranks(mean)[:2], saved)
    assert window.mean_over_ranks(mean)[:, 0].tolist() == [2.0, 4.0, 6.0]
    assert times_asked == [2, 1]


def test_the_first_bad_step_is_named_with_its_largest_terms() -> None:
    window = torch.ones(4, 6)
    check_finite(window, 100)
    window[1] = torch.tensor([float("inf"), 0.5, 7.0, 2.0, float("inf"), float("nan")])
    window[3] = float("nan")
    with pytest.raises(UserError) as caught:
        check_finite(window, 100)
    words = str(caught.value).replace(",", " ").replace(".", " ").split()
    assert "101" in words
    assert [words.index(value) for value in ("nan", "7")] == sorted(words.index(value) for value in ("nan", "7"))


@pytest.mark.parametrize(
    ("first_step", "about"), [(0, ("data", "likelihood")), (1, ("optimizer", "likelihood", "kl_weight"))]
)
def test_the_remedy_follows_from_where_it_happened(first_step: int, about: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as caught:
        check_finite(torch.full((3, 4), float("inf")), first_step)
    assert (caught.value.code, caught.value.about) == (Code.NOT_FINITE, about)


def test_weights_and_held_out_terms_are_looked_at_too() -> None:
    check_finite_weights([torch.zeros(3)], 5)
    check_finite_evaluation({"elbo": -1.0}, 5)
    for check in (
        lambda: check_finite_weights([torch.zeros(3), torch.tensor(float("nan"))], 5),
        lambda: check_finite_evaluation({"elbo": -1.0, "kl": float("inf")}, 5),
    ):
        with pytest.raises(UserError) as caught:
            check()
        assert caught.value.code is Code.NOT_FINITE
        assert "optimizer" in caught.value.about
