"""Torture: real processes on real images, killed at random moments and started again by the same command."""

import subprocess
import sys
from pathlib import Path

import pytest

from vae_lightning import verifying
from vae_lightning.cli import verify_resume
from vae_lightning.errors import Code, UserError
from vae_lightning.runs import directory

BIN = Path(sys.executable).parent
IMAGES = ["data=mnist", "model=linear", "latent_dim=2", "trainer.max_epochs=2", "save_every_n_steps=50"]
TWO_RANKS = ["trainer.strategy=ddp", "trainer.devices=2"]
STATEFUL = {
    "a controller, learned sigma": ["beta_schedule=control_vae", "kl_weight=20", "likelihood=gaussian_learned"],
    "geco, dynamic binarisation": ["beta_schedule=geco", "data.binarize=dynamic", "likelihood=bernoulli"],
    "aggressive inference, cosine rate": [
        "optimizer=aggressive",
        "optimizer.max_steps=5",
        "lr_schedule=cosine",
        "data.binarize=dynamic",
    ],
    "batch normalisation, optimal sigma": ["posterior=batch_norm", "likelihood=gaussian_optimal"],
    "cyclical, free bits, several samples": [
        "beta_schedule=cyclical_cosine",
        "objective=free_bits",
        "objective.n_samples=3",
    ],
}


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # another number of threads sums in another order
    monkeypatch.setenv("VAE_DATA_DIR", str(data_dir))


def verify(*arguments: str) -> list[str]:
    """Return what vae-verify-resume printed of each kill, once it has found both runs the same."""
    done = subprocess.run([BIN / "vae-verify-resume", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    *lines, last = done.stdout.splitlines()
    assert not last.startswith("SIG")
    return [line for line in lines if line.startswith("SIG")]


@pytest.mark.slow
def test_three_kills_leave_no_trace() -> None:
    kills = verify("--kills", "3", *IMAGES)
    assert [line.split(" after")[0] for line in kills] == [f"SIGKILL {n} of 3" for n in (1, 2, 3)]


@pytest.mark.slow
def test_a_kill_of_two_ranks_leaves_no_trace() -> None:
    assert len(verify("--kills", "1", *IMAGES, *TWO_RANKS)) == 1


@pytest.mark.slow
def test_sigterm_is_answered_by_saving() -> None:
    """Nothing but the signal saves here: an epoch is longer than the wait."""
    [line] = verify("--kills", "1", "--signal", "TERM", *IMAGES, "save_every_n_steps=null", "--seed", "1")
    assert int(line.rsplit(" ", maxsplit=1)[1]) > 0


def test_a_difference_is_told_and_ends_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = iter([verifying.Attempt(9.0, 5.0, code, "") for code in (0, -9, 0)])
    monkeypatch.setattr(verifying, "_attempt", lambda *_: next(ended))
    monkeypatch.setattr(directory, "read_results", lambda _: {"steps": 10})
    monkeypatch.setattr(verifying, "run_differences", lambda *_: ["checkpoint: /state_dict/encoder: other values"])
    monkeypatch.setattr("sys.argv", ["vae-verify-resume", "--kills", "1", "data=digits", "model=linear"])
    with pytest.raises(UserError) as refused:
        verify_resume.verify()
    assert refused.value.code is Code.NOT_SAME
    assert "/state_dict/encoder" in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "code", "about"),
    [
        (["--kills", "0"], Code.INVALID, ("--kills",)),
        (["rerun=true"], Code.INCOMPATIBLE, ("rerun", "resume_from")),
    ],
)
def test_what_cannot_be_verified_is_told(
    arguments: list[str], code: Code, about: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["vae-verify-resume", *arguments])
    with pytest.raises(UserError) as refused:
        verify_resume.verify()
    assert (refused.value.code, refused.value.about) == (code, about)


def test_a_config_that_is_wrong_is_told_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "_attempt", lambda *_: pytest.fail("started"))
    monkeypatch.setattr("sys.argv", ["vae-verify-resume", "kl_weight=-1"])
    with pytest.raises(UserError) as refused:
        verify_resume.verify()
    assert str(refused.value).startswith("kl_weight=-1: ")


def test_a_training_that_fails_is_told_with_its_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "_attempt", lambda *_: verifying.Attempt(9.0, 5.0, 1, "no room"))
    monkeypatch.setattr("sys.argv", ["vae-verify-resume", "data=digits", "model=linear"])
    with pytest.raises(UserError) as refused:
        verify_resume.verify()
    assert refused.value.code is Code.FAILED
    assert "no room" in str(refused.value)  # what the training printed


@pytest.mark.slow
def test_twenty_kills_leave_no_trace() -> None:
    assert len(verify("--kills", "20", *IMAGES, "model=mlp", "trainer.max_epochs=3", "save_every_n_steps=20")) == 20


@pytest.mark.slow
@pytest.mark.parametrize("choices", STATEFUL.values(), ids=STATEFUL.keys())
def test_kills_leave_no_trace_with_each_stateful_part(choices: list[str]) -> None:
    verify("--kills", "3", *IMAGES, "model=mlp", *choices)


@pytest.mark.slow
@pytest.mark.parametrize("number", ["KILL", "TERM"])
def test_more_kills_of_two_ranks_leave_no_trace(number: str) -> None:
    verify("--kills", "4", "--signal", number, *IMAGES, *TWO_RANKS)
