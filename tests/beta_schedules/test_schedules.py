"""Schedules as tables of exact values: the ends and beyond included."""

from functools import partial

import pytest

from vae_lightning.beta_schedules import constant, cyclical, linear

TOTAL = 100


@pytest.mark.parametrize(
    ("schedule", "table"),
    [
        (constant, {0: 1, 50: 1, 99: 1, 1000: 1}),
        (partial(linear, warmup=0.2), {0: 0, 1: 0.05, 10: 0.5, 19: 0.95, 20: 1, 21: 1, 99: 1, 100: 1, 1000: 1}),
        (partial(linear, warmup=1.0), {0: 0, 25: 0.25, 99: 0.99, 100: 1, 150: 1}),
        (
            partial(cyclical, n_cycles=4, ramp=0.5),
            {
                0: 0,
                5: 0.4,
                10: 0.8,
                12: 0.96,
                13: 1,
                24: 1,
                25: 0,
                30: 0.4,
                49: 1,
                50: 0,
                75: 0,
                99: 1,
                100: 0,
                105: 0.4,
            },
        ),
        (partial(cyclical, n_cycles=1, ramp=1.0), {0: 0, 50: 0.5, 99: 0.99, 100: 0}),
        (partial(cyclical, n_cycles=3, ramp=0.5), {0: 0, 10: 0.6, 33: 1, 34: 0.04, 66: 1, 67: 0.02, 99: 1}),
    ],
)
def test_table(schedule: partial[float], table: dict[int, float]) -> None:
    assert {step: schedule(step, TOTAL) for step in table} == pytest.approx(table, abs=1e-12)
