from pathlib import Path

import pytest
import torch

from vae_lightning.errors import Code, UserError
from vae_lightning.runs.curve_logger import JsonLinesLogger
from vae_lightning.runs.curves import continue_curves, durable_lines, read_curves


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


def test_a_torn_last_line_is_left_out_and_the_lines_before_a_checkpoint_are_kept(tmp_path: Path) -> None:
    logger = JsonLinesLogger(tmp_path)
    for step in (9, 19, 29):
        logger.log_metrics({"a": step / 7}, step)
    written = logger.path.read_bytes()
    with logger.path.open("a") as stream:
        stream.write('{"step": 39, "ep')
    assert [line["step"] for line in read_curves(tmp_path)] == [9, 19, 29]
    continue_curves(tmp_path, 2)
    assert logger.path.read_bytes() == b"".join(written.splitlines(keepends=True)[:2])
    assert durable_lines(tmp_path) == 2
    (tmp_path / "longer").mkdir()
    continue_curves(tmp_path / "longer", 1, source=tmp_path)
    assert [line["step"] for line in read_curves(tmp_path / "longer")] == [9]


def test_curves_that_end_before_their_checkpoint_are_refused(tmp_path: Path) -> None:
    JsonLinesLogger(tmp_path).log_metrics({"a": 1}, 0)
    with pytest.raises(UserError) as refused:
        continue_curves(tmp_path, 2)
    assert (refused.value.code, refused.value.about) == (Code.CHANGED, (str(tmp_path / "metrics.jsonl"),))
    assert len(read_curves(tmp_path)) == 1
