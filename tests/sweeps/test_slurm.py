"""Sweeps through SLURM, on a real one of a single node that the tests start themselves."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import slurm, why_not
from commands import Sweep
from test_pool import note, until

from vae_lightning.runs.comparison import run_differences
from vae_lightning.runs.status import RunStatus, find_runs

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
STEP_45 = "step000000045"
LAUNCHER = ["hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1"]


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with slurm(tmp_path_factory.mktemp("slurm"), n_cpus=2, n_gpus=1) as environment:
        yield environment


def through_slurm(asked: Sweep, cluster: dict[str, str]) -> Sweep:
    """Take the pool's options out of a sweep, and let it find the cluster."""
    command = [word for word in asked.command if not word.startswith("hydra.launcher")]
    where = {"SLURM_CONF": cluster["SLURM_CONF"]}
    mine = [word for word in asked.command if word.startswith("hydra.launcher.cpus_per_task")]
    return asked._replace(command=command + mine, environment={**asked.environment, **where})


def job_of(run: Path) -> str:
    record = run.parent.parent / ".sweeps" / "slurm" / run.parent.name / f"{run.name}.json"
    return str(json.loads(record.read_text())["job"])


def test_a_preempted_job_goes_on_exactly_and_failed_ones_are_reported(
    cluster: dict[str, str], sweep: Callable[..., Sweep], tmp_path: Path
) -> None:
    choices = ["trainer.max_epochs=200", "trainer.log_every_n_steps=5"]
    asked = through_slurm(sweep(*LAUNCHER, *choices, faults="a,raise,wait"), cluster)
    (asked.faults / "on").touch()
    with asked.start() as process:
        preempted = until(
            lambda: [path for path in asked.runs.glob("default/*/checkpoints/*.ckpt") if path.stem > STEP_45]
        )
        folder = preempted[0].parent.parent
        scancel = ["scancel", "--signal=USR1", job_of(folder)]
        subprocess.run(scancel, check=True, env=asked.environment)
        told = until(lambda: json.loads((asked.faults / "wait.fault.0.json").read_text()))
        subprocess.run(["kill", "-9", str(told["pid"])], check=True)
        output, errors = process.communicate(timeout=400)
    assert process.returncode == 1, errors
    assert "queued again" in output
    assert "2 of 3 jobs failed" in errors
    assert "ArithmeticError: the job's own mistake" in errors
    assert "SLURM says" in errors
    states = {run.name: run.status for run in find_runs([asked.runs]).runs}
    assert sorted(states.values()) == [RunStatus.FAILED, RunStatus.FAILED, RunStatus.FINISHED]
    scontrol = ["scontrol", "show", "job"]
    shown = subprocess.run(scontrol, env=asked.environment, capture_output=True, text=True, check=True)
    assert "Restarts=1" in shown.stdout

    (asked.faults / "on").unlink()
    alone = sweep(*choices, "hydra.launcher.n_slots=1", runs="alone", faults="a")
    assert alone.do().returncode == 0
    [undisturbed] = alone.runs.glob("default/*")
    assert run_differences(folder, undisturbed) == []


@pytest.mark.slow
def test_a_job_is_not_queued_twice_nor_a_gpu_claimed_twice(
    cluster: dict[str, str], sweep: Callable[..., Sweep]
) -> None:
    asked = through_slurm(sweep(*LAUNCHER, "trainer.max_epochs=3", faults="a,b"), cluster)
    asked.command.append(
        "hydra.launcher.sbatch={gres: 'gpu:1', job_name: mine}"
    )  # of which there is one, for two jobs and two cores
    with asked.start() as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("sweep: 2 waiting")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert "SIGINT: the jobs stay in SLURM's queue, and the same command watches them again" in errors
    again = asked.do()
    assert again.returncode == 0, again.stderr
    jobs = {job_of(run) for run in asked.runs.glob("default/*")}
    assert len({job.split("_")[0] for job in jobs}) == 1  # one array, submitted once
    first, second = sorted((note(asked, name, "began")["at"], note(asked, name, "ended")["at"]) for name in "ab")
    assert first[1] < second[0]
    assert {run.status for run in find_runs([asked.runs]).runs} == {RunStatus.FINISHED}


def test_slurm_refuses_and_it_is_said(cluster: dict[str, str], sweep: Callable[..., Sweep]) -> None:
    asked = through_slurm(sweep(*LAUNCHER, "kl_weight=1,2"), cluster)
    asked.command.append("hydra.launcher.partition=nowhere")
    done = asked.do()
    assert done.returncode == 1
    assert "hydra/launcher=slurm: 2 jobs were not taken" in done.stderr
    assert "partition" in done.stderr
    assert "Traceback" not in done.stderr
