import pytest
import torch

from vae_lightning.diagnostics.step_buffer import StepBuffer, check_finite, mean_terms
from vae_lightning.errors import UserError
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
    with pytest.raises(UserError, match=r"inf at step 101.*kl_weight is 0.5") as caught:
        check_finite(window, 100)
    assert "KL of unit 2 = nan, KL of unit 1 = inf, distortion = 7" in str(caught.value)
