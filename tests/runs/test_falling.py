"""What a run's curves say of more training."""

import json
import math
from pathlib import Path

import pytest

from vae_lightning.estimates import Mean
from vae_lightning.runs.curves import FILE_NAME
from vae_lightning.runs.curves import falling_of as of_run


def lines(n: int, weight_at_first: float = 2.0) -> list[dict[str, float]]:
    """Return curves whose distortion falls as 80 / t and whose KL is 1, the weight 2 from the second half on."""
    return [
        {
            "step": 50 * index,
            "train/distortion": 80 / (index + 0.5),
            "train/kl": 1.0,
            "train/kl_weight": weight_at_first if index < n // 2 else 2.0,
        }
        for index in range(n)
    ]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def falling_of(curves: list, kl_weight: float, price: float) -> Mean | None:
    Path(FILE_NAME).write_text("".join(json.dumps(line) + "\n" for line in curves), encoding="utf-8")
    return of_run(Path(), kl_weight, price)


def test_damaged_curves_cost_no_other_number() -> None:
    Path(FILE_NAME).write_text("{damaged\n", encoding="utf-8")
    assert of_run(Path(), 2.0, 2.0) is None
    Path(FILE_NAME).unlink()
    assert of_run(Path(), 2.0, 2.0) is None


def test_it_is_of_the_loss_at_the_price_in_force() -> None:
    found = falling_of(lines(400), 2.0, 2.0)
    assert found.value == pytest.approx(0.5 * 80 / 400, rel=0.12)
    rising = [{**line, "train/kl": 0.01 * index} for index, line in enumerate(lines(400))]
    assert falling_of(rising, 2.0, 2.0).value == pytest.approx(found.value - 2.0 * 0.01 * 100, rel=1e-6)


def test_what_was_trained_at_another_weight_does_not_count() -> None:
    half = falling_of(lines(400, weight_at_first=0.5), 2.0, 2.0)
    whole = falling_of(lines(400), 2.0, 2.0)
    assert half.value < whole.value  # of the last half alone, the third quarter of which is later
    assert falling_of(lines(400, weight_at_first=0.5)[:200], 2.0, 2.0) is None


def test_without_a_price_or_with_values_that_were_not_finite_it_tells_nothing_wrong() -> None:
    assert falling_of(lines(400), 2.0, math.nan) is None
    assert falling_of([{**line, "train/kl": None} for line in lines(400)], 2.0, 2.0) is None
    assert falling_of([], 2.0, 2.0) is None
