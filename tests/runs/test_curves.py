from pathlib import Path

import torch

from vae_lightning.runs.curves import JsonLinesLogger, cut_from, read_curves


def test_every_value_is_there_with_step_and_epoch(tmp_path: Path) -> None:
    logger = JsonLinesLogger(tmp_path)
    logger.log_metrics({"train/loss": torch.tensor(2.5), "epoch": 3}, step=49)
    logger.log_metrics({"test/kl_per_unit": [0.5, 0.0], "test/active_units": 1, "epoch": 3}, step=99)
    assert read_curves(tmp_path) == [
        {"step": 49, "epoch": 3, "train/loss": 2.5},
        {"step": 99, "epoch": 3, "test/kl_per_unit": [0.5, 0.0], "test/active_units": 1},
    ]


def test_what_is_not_finite_is_null(tmp_path: Path) -> None:
    JsonLinesLogger(tmp_path).log_metrics({"a": float("nan"), "b": float("inf")}, step=0)
    assert read_curves(tmp_path) == [{"step": 0, "epoch": 0, "a": None, "b": None}]


def test_a_torn_last_line_is_left_out_and_cutting_keeps_what_came_before(tmp_path: Path) -> None:
    logger = JsonLinesLogger(tmp_path)
    for step in (9, 19, 29):
        logger.log_metrics({"a": step}, step)
    with logger.path.open("a") as stream:
        stream.write('{"step": 39, "ep')
    assert [line["step"] for line in read_curves(tmp_path)] == [9, 19, 29]
    cut_from(tmp_path, 20)
    assert [line["step"] for line in read_curves(tmp_path)] == [9, 19]
