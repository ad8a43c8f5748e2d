"""Schedules as tables of exact values: the ends and beyond included."""

import math
from functools import partial

import pytest

from vae_lightning.schedules import constant, cyclical, rise, sigmoid
from vae_lightning.training_step import TrainingStep

TOTAL = 100
PER_EPOCH = 10
LOGISTIC_6 = 1 / (1 + math.exp(6))


@pytest.mark.parametrize(
    ("schedule", "table"),
    [
        (constant, {0: 1, 50: 1, 99: 1, 1000: 1}),
        (
            partial(rise, shape="linear", length=0.2),
            {0: 0, 1: 0.05, 10: 0.5, 19: 0.95, 20: 1, 21: 1, 99: 1, 100: 1, 1000: 1},
        ),
        (partial(rise, shape="linear", length=1.0), {0: 0, 25: 0.25, 99: 0.99, 100: 1, 150: 1}),
        (partial(rise, shape="linear", length="4 epochs"), {0: 0, 10: 0.25, 30: 0.75, 40: 1, 41: 1, 500: 1}),
        (partial(rise, shape="linear", length="20 epochs"), {0: 0, 100: 0.5, 200: 1, 250: 1}),
        (
            partial(rise, shape="cosine", length=0.6),
            {0: 0, 20: 0.25, 30: 0.5, 40: 0.75, 60: 1, 61: 1, 100: 1, 1000: 1},
        ),
        (
            partial(sigmoid, midpoint=0.5, width=0.5),  # k = 12 / 50, t0 = 50
            {
                0: 1 / (1 + math.exp(12)),
                25: LOGISTIC_6,
                50: 0.5,
                60: 1 / (1 + math.exp(-2.4)),
                75: 1 - LOGISTIC_6,
                100: 1 - 1 / (1 + math.exp(12)),
                100_000: 1,
            },
        ),
        (partial(sigmoid, midpoint="5 epochs", width="5 epochs"), {25: LOGISTIC_6, 50: 0.5, 75: 1 - LOGISTIC_6}),
        (
            partial(cyclical, shape="linear", n_cycles=4, ramp=0.5),
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
        (partial(cyclical, shape="linear", n_cycles=1, ramp=1.0), {0: 0, 50: 0.5, 99: 0.99, 100: 0}),
        (  # two cycles in the first half; then the weight is held, past the end too
            partial(cyclical, shape="linear", n_cycles=2, ramp=0.5, length=0.5),
            {0: 0, 5: 0.4, 13: 1, 24: 1, 25: 0, 30: 0.4, 49: 1, 50: 1, 75: 1, 99: 1, 100: 1, 105: 1},
        ),
        (
            partial(cyclical, shape="linear", n_cycles=2, ramp=0.5, length="5 epochs"),
            {0: 0, 5: 0.4, 24: 1, 25: 0, 49: 1, 50: 1, 100: 1},
        ),
        (
            partial(cyclical, shape="linear", n_cycles=3, ramp=0.5),
            {0: 0, 10: 0.6, 33: 1, 34: 0.04, 66: 1, 67: 0.02, 99: 1},
        ),
        (partial(cyclical, shape="linear", n_cycles=4, ramp="1 epochs"), {0: 0, 5: 0.5, 10: 1, 11: 1, 25: 0, 30: 0.5}),
        (
            partial(cyclical, shape="sigmoid", n_cycles=2, ramp=0.5),
            {
                0: LOGISTIC_6,
                10: 1 / (1 + math.exp(1.2)),
                25: 1 - LOGISTIC_6,
                26: 1,
                49: 1,
                50: LOGISTIC_6,
                100: LOGISTIC_6,
            },
        ),
        (
            partial(cyclical, shape="cosine", n_cycles=2, ramp=0.48),
            {0: 0, 8: 0.25, 12: 0.5, 16: 0.75, 24: 1, 25: 1, 49: 1, 50: 0, 62: 0.5, 100: 0, 108: 0.25},
        ),
    ],
)
def test_table(schedule: partial[float], table: dict[int, float]) -> None:
    found = {step: schedule(TrainingStep(step, TOTAL, PER_EPOCH)) for step in table}
    assert found == pytest.approx(table, abs=1e-12)
