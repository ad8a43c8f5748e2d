"""Learning-rate schedules as tables of exact values: the ends and beyond included."""

from functools import partial

import pytest

from vae_lightning.schedules import constant, cosine_decay, staircase
from vae_lightning.training_step import TrainingStep


@pytest.mark.parametrize(
    ("schedule", "table"),
    [
        (constant, {0: 1, 99: 1, 1000: 1}),
        (partial(cosine_decay, length=0.6, final=0.0), {0: 1, 20: 0.75, 30: 0.5, 40: 0.25, 60: 0, 61: 0, 1000: 0}),
        (partial(cosine_decay, length="3 epochs", final=0.2), {0: 1, 10: 0.8, 15: 0.6, 20: 0.4, 30: 0.2, 100: 0.2}),
    ],
)
def test_table(schedule: partial[float], table: dict[int, float]) -> None:
    assert {step: schedule(TrainingStep(step, 100, 10)) for step in table} == pytest.approx(table, abs=1e-12)


def test_the_staircase_is_burdas() -> None:
    """1e-3 x 10^(-i/7) for 3^i epochs, i = 0 .. 7: 3,280 epochs (Burda et al. 2015, section 5). 3 steps an epoch."""
    epochs = [stage for stage in range(8) for _ in range(3**stage)]
    assert len(epochs) == 3280
    for schedule in (partial(staircase, n_stages=8, length=1.0), partial(staircase, n_stages=8, length="3280 epochs")):
        for step in range(3 * 3280):
            expected = 10 ** (-epochs[step // 3] / 7)
            assert schedule(TrainingStep(step, 3 * 3280, 3)) == pytest.approx(expected, rel=1e-12)
        assert schedule(TrainingStep(10**6, 3 * 3280, 3)) == pytest.approx(0.1)


def test_a_shorter_staircase_keeps_its_proportions() -> None:
    short = partial(staircase, n_stages=3, length=0.5)  # 1 + 3 + 9 parts of 2 steps
    found = [short(TrainingStep(step, 52, 4)) for step in range(52)]
    assert found == pytest.approx([1.0] * 2 + [10 ** (-1 / 7)] * 6 + [10 ** (-2 / 7)] * 44)
