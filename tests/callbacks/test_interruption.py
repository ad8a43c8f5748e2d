"""A signal waits for the end of a batch, everything is saved, and all is as it was afterwards."""

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults_in_training import train_with
from lightning.pytorch import Callback

from vae_lightning import training
from vae_lightning.errors import Interrupted
from vae_lightning.runs.curves import read_curves
from vae_lightning.runs.directory import checkpoints
from vae_lightning.runs.identity import identify
from vae_lightning.signals import REPEAT_S, SIGNALS


class Sends(Callback):
    """Sends a signal in the middle of a batch, where Python itself would act at once."""

    def __init__(self, number: int, step: int) -> None:
        self.number, self.step = number, step
        self.went_on = False

    def on_before_optimizer_step(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == self.step and not self.went_on:
            os.kill(os.getpid(), self.number)
            self.went_on = True


@pytest.mark.parametrize("step", [11, 14], ids=["in an epoch", "in its last batch"])
@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, *(pytest.param(each, marks=pytest.mark.slow) for each in SIGNALS if each != signal.SIGINT)],
)
def test_a_signal_loses_no_step(number: signal.Signals, step: int, tiny: Callable[..., dict[str, Any]]) -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    sending = Sends(number, step)
    config = tiny()
    folder = identify(config).directory
    with pytest.raises(Interrupted) as stopped:
        train_with(sending, config)
    assert stopped.value.exit_code == 128 + number
    assert sending.went_on
    assert [path.name for path in checkpoints(folder)] == [f"step{step + 1:09d}.ckpt"]
    # The held-out images after an epoch belong to it.
    assert any("test/elbo" in line for line in read_curves(folder)) == (step == 14)
    assert [signal.getsignal(each) for each in SIGNALS] == before
    assert training.train(config)["steps"] == 30


def test_slurms_signal_after_sigterm_is_the_one_that_counts(tiny: Callable[..., dict[str, Any]]) -> None:
    """A preempted job gets both, and is queued again only if it knows of the second."""

    class Preempted(Callback):
        def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(REPEAT_S + 0.1)
            os.kill(os.getpid(), signal.SIGUSR1)

    with pytest.raises(Interrupted) as stopped:
        train_with(Preempted(), tiny())
    assert stopped.value.exit_code == 128 + signal.SIGUSR1


def test_a_second_ctrl_c_acts_at_once(tiny: Callable[..., dict[str, Any]]) -> None:
    class Impatient(Callback):
        def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)  # one that a launcher passed on: still the first
            self.was_patient = True
            time.sleep(REPEAT_S + 0.1)
            os.kill(os.getpid(), signal.SIGINT)
            pytest.fail("went on")

    before = signal.getsignal(signal.SIGINT)
    impatient = Impatient()
    config = tiny()
    with pytest.raises(KeyboardInterrupt):
        train_with(impatient, config)
    assert impatient.was_patient
    assert checkpoints(identify(config).directory) == []
    signal.signal(signal.SIGINT, before)  # Lightning ignores it while it tidies up


def test_a_training_that_ends_by_itself_hands_the_signals_back(tiny: Callable[..., dict[str, Any]]) -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    training.train(tiny("trainer.max_epochs=1"))
    assert [signal.getsignal(each) for each in SIGNALS] == before


class SendsInTest(Callback):
    """Sends a signal while the test images are evaluated."""

    def __init__(self, number: int) -> None:
        self.number = number

    def on_test_batch_start(self, *_: Any) -> None:
        os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("images_at_once", [50, 1000], ids=["several batches", "one batch"])
def test_a_signal_after_the_training_is_told_too(
    number: signal.Signals, images_at_once: int, tiny: Callable[..., dict[str, Any]]
) -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    config = tiny("trainer.max_epochs=1", f"data.evaluation_batch_size={images_at_once}")
    with pytest.raises(Interrupted if number == signal.SIGTERM else KeyboardInterrupt):
        train_with(SendsInTest(number), config)
    for each, handler in zip(SIGNALS, before, strict=True):
        signal.signal(each, handler)
    assert not (identify(config).directory / "results.json").exists()
    assert training.train(config)["steps"] == 15


def test_a_signal_that_is_ignored_stays_so(tiny: Callable[..., dict[str, Any]]) -> None:
    """Check what a job has that a script has started in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert train_with(Sends(signal.SIGINT, 3), tiny("trainer.max_epochs=1"))["steps"] == 15
    finally:
        signal.signal(signal.SIGINT, before)


def test_slurms_warning_is_answered_like_any_other(
    tiny: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``#SBATCH --signal=USR1@90``: Lightning's own answer would save beside our checkpoints and requeue."""
    job = {"NTASKS": "1", "JOB_ID": "7", "PROCID": "0", "LOCALID": "0", "NODEID": "0", "JOB_NAME": "a", "NODELIST": "a"}
    for name, value in job.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    config = tiny("trainer.max_epochs=1")
    with pytest.raises(Interrupted) as stopped:
        train_with(Sends(signal.SIGUSR1, 5), config)
    assert stopped.value.exit_code == 128 + signal.SIGUSR1
    folder = identify(config).directory
    assert [path.name for path in folder.rglob("*.ckpt")] == ["step000000006.ckpt"]
    monkeypatch.undo()
    assert training.train(config)["steps"] == 15


@pytest.mark.slow
def test_a_closed_terminal_lets_a_run_save(tmp_path: Path) -> None:
    """Each batch is an epoch, at whose end a line is printed, which fails where the terminal is gone."""
    ours, its = pty.openpty()
    words = ["data=digits", "model=linear", "latent_dim=2", "wandb.mode=disabled", "trainer.max_epochs=100000"]
    words += [f"runs_dir={tmp_path}", "data.batch_size=1500"]
    command = [str(Path(sys.executable).with_name("vae-train")), *words]
    process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, start_new_session=True, close_fds=True)
    os.close(its)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("default/*/checkpoints/*.ckpt")) and time.monotonic() < deadline:
        os.read(ours, 4096)
    os.close(ours)
    process.send_signal(signal.SIGHUP)  # from the kernel, where the terminal is the one that controls the process
    assert process.wait(timeout=60) == 128 + signal.SIGHUP
    [run] = tmp_path.glob("default/*")
    assert not (run / "failure.json").exists()
    assert checkpoints(run)
