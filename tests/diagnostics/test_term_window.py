import pytest
import torch

from vae_lightning.diagnostics.term_window import TermWindow, check_finite, mean_terms
from vae_lightning.errors import UserError
from vae_lightning.objectives import Bound


def test_rows_are_averaged_over_images_then_over_steps() -> None:
    window = TermWindow()
    for loss, kl_weight in ((1.0, 0.25), (3.0, torch.tensor(0.5))):
        bound = Bound(torch.tensor(loss), torch.tensor([10.0, 20.0]) * loss, torch.tensor([[1.0, 0.0], [3.0, 2.0]]))
        window.add(bound, kl_weight)
    assert len(window) == 2
    assert mean_terms(window.stacked()) == {"loss": 2.0, "distortion": 30.0, "kl": 3.0, "elbo": -33.0, "kl_weight": 0.5}
    window.clear()
    assert len(window) == 0


def test_the_first_bad_step_is_named_with_its_largest_terms() -> None:
    window = torch.ones(4, 6)
    check_finite(window, 100)
    window[1] = torch.tensor([float("inf"), 0.5, 7.0, 2.0, float("inf"), float("nan")])
    window[3] = float("nan")
    with pytest.raises(UserError, match=r"inf at step 101.*kl_weight is 0.5") as caught:
        check_finite(window, 100)
    assert "KL of unit 2 = nan, KL of unit 1 = inf, distortion = 7" in str(caught.value)
