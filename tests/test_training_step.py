import pytest

from vae_lightning.training_step import canonical_length, steps_of


@pytest.mark.parametrize(
    ("written", "kept"),
    [("5 epochs", "5 epochs"), ("5epochs", "5 epochs"), (" 5.0 epochs", "5 epochs"), ("1 epoch", "1 epochs"),
     ("2.50 epochs", "2.5 epochs"), ("1000000 epochs", "1000000 epochs"), ("1e-05 epochs", "1e-05 epochs"),
     (0.25, 0.25), (1, 1)],
)  # fmt: skip
def test_equal_lengths_are_written_in_one_way(written: float | str, kept: float | str) -> None:
    assert canonical_length(written) == kept


@pytest.mark.parametrize(
    "wrong", [0.0, -0.1, 1.5, float("nan"), "0 epochs", "5", "five epochs", "-1 epochs", "5 steps"]
)
def test_what_is_no_length_is_refused(wrong: float | str) -> None:
    with pytest.raises(ValueError, match="epochs"):
        canonical_length(wrong)


def test_lengths_in_steps() -> None:
    assert steps_of(0.25, steps_per_epoch=600, whole=9000) == 2250
    assert steps_of("2.5 epochs", steps_per_epoch=600, whole=9000) == 1500
