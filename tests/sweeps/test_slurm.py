"""Sweeps through SLURM, on a real one of a single node that the tests start themselves."""

import io
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import slurm, why_not
from commands import Sweep, note, until
from fakes import FINISHED, REFUSED, SAVED, job, write_results
from rich.console import Console

from vae_lightning.runs.comparison import run_differences
from vae_lightning.runs.status import RunStatus, find_runs
from vae_lightning.sweeps.outcome import Outcome
from vae_lightning.sweeps.progress import SweepProgress
from vae_lightning.sweeps.slurm_following import SETTLED_S, follow_queue
from vae_lightning.sweeps.slurm_run import RunInSlurm

needs_slurm = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")
STEP_45 = "step000000045"
LAUNCHER = ["hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1"]


Queue = list[dict[str, str] | None]


def followed(
    queues: Queue, tmp_path: Path, outcome: Outcome | None, results: bool, rerun: bool = False
) -> tuple[RunStatus, float]:
    """Follow one job through what SLURM answers; return its status at the end, and when it was reached."""
    followed_job = job(0, tmp_path, rerun=rerun)
    assert followed_job.directory is not None
    if results:
        write_results(followed_job.directory)
    followed_job.replaces = followed_job.directory.stat().st_ino if rerun else None
    if outcome:
        followed_job.outcome.write_text(outcome.model_dump_json())
    now = [0.0]
    answers = iter(queues)

    def pass_time(seconds: float) -> None:
        now[0] += seconds

    progress = SweepProgress([followed_job], Console(file=io.StringIO()), "fakes")
    follow_queue({"7_0": followed_job}, progress, lambda: next(answers, {}), lambda: now[0], pass_time)
    return followed_job.status, now[0]


RUNS: Queue = [{"7_0": "PENDING"}, {"7_0": "RUNNING"}, None, {"7_0": "COMPLETING"}]


@pytest.mark.parametrize(
    ("outcome", "results", "rerun", "expected"),
    [
        (FINISHED, True, False, (RunStatus.FINISHED, 0)),
        (FINISHED, True, True, (RunStatus.FINISHED, 0)),  # its own, also where the directory is the same
        (REFUSED, False, False, (RunStatus.FAILED, 0)),
        (SAVED, False, False, (RunStatus.FAILED, 0)),  # cancelled
        (None, True, False, (RunStatus.FINISHED, 0)),
        (None, True, True, (RunStatus.FAILED, SETTLED_S)),  # those of the run that it was to replace
        (None, False, False, (RunStatus.FAILED, SETTLED_S)),
        (FINISHED, False, False, (RunStatus.FAILED, SETTLED_S)),
    ],
    ids=["finished", "replaced", "failed", "cancelled", "no record", "earlier results", "died", "no results"],
)
def test_how_a_job_left_the_queue(
    outcome: Outcome | None, results: bool, rerun: bool, expected: tuple[RunStatus, float], tmp_path: Path
) -> None:
    status, seconds = followed(RUNS, tmp_path, outcome, results, rerun)
    assert status is expected[0]
    assert seconds == pytest.approx(2 * (len(RUNS) + 1) + expected[1], abs=2.5)


def test_a_requeued_run_starts_afresh_once(tmp_path: Path) -> None:
    run = job(0, tmp_path, rerun=True)
    assert run.directory is not None
    (run.directory / "config.yaml").write_text("rerun: true")
    task = RunInSlurm(run.run, 1, run.outcome, run.directory.stat().st_ino)
    pytest.importorskip("submitit")
    task.checkpoint()
    assert task.config.rerun is True  # it has not begun yet
    run.directory.rename(tmp_path / "aside")
    run.directory.mkdir()
    (run.directory / "config.yaml").write_text("rerun: true")
    task.checkpoint()
    assert task.config.rerun is False


@pytest.fixture(scope="session")
def one_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with slurm(tmp_path_factory.mktemp("slurm"), n_cpus=2, n_gpus=1) as environment:
        yield environment


@pytest.fixture
def cluster(one_cluster: dict[str, str]) -> Iterator[dict[str, str]]:
    """Lend the cluster; what a test leaves in its queue ends with it."""
    yield one_cluster
    subprocess.run(["scancel", "--signal=KILL", "--full", "--user=root"], env=one_cluster, check=False)
    subprocess.run(["scancel", "--user=root"], env=one_cluster, check=False)


def through_slurm(asked: Sweep, cluster: dict[str, str]) -> Sweep:
    """Take the pool's options out of a sweep, and let it find the cluster."""
    command = [word for word in asked.command if not word.startswith("hydra.launcher")]
    where = {"SLURM_CONF": cluster["SLURM_CONF"]}
    mine = [word for word in asked.command if word.startswith("hydra.launcher.cpus_per_task")]
    return asked._replace(command=command + mine, environment={**asked.environment, **where})


def job_of(run: Path) -> str:
    record = run.parent.parent / ".sweeps" / "slurm" / run.parent.name / f"{run.name}.json"
    return str(json.loads(record.read_text())["job"])


@needs_slurm
@pytest.mark.slow
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
    lines = output.splitlines()
    assert sum(line.startswith("waiting") for line in lines) == 1  # queued again
    assert sum(line.startswith("FAILED") for line in errors.splitlines()) == 2
    assert sum("ArithmeticError" in line for line in errors.splitlines() if line.startswith("FAILED")) == 1
    recorded = [json.loads(path.read_text()) for path in asked.runs.glob(".sweeps/*/*.outcome.json")]
    assert sorted((found["status"], found["exit_code"]) for found in recorded) == [("failed", 1), ("finished", 0)]
    statuses = {run.name: run.status for run in find_runs([asked.runs]).runs}
    assert sorted(statuses.values()) == [RunStatus.FAILED, RunStatus.FAILED, RunStatus.FINISHED]
    scontrol = ["scontrol", "show", "job"]
    shown = subprocess.run(scontrol, env=asked.environment, capture_output=True, text=True, check=True)
    assert "Restarts=1" in shown.stdout

    (asked.faults / "on").unlink()
    alone = sweep(*choices, "hydra.launcher.n_slots=1", runs="alone", faults="a")
    assert alone.do().returncode == 0
    [undisturbed] = alone.runs.glob("default/*")
    assert run_differences(folder, undisturbed) == []


@needs_slurm
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
        assert process.stdout.readline().startswith("sweep: ")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "SIGINT" in errors
    again = asked.do()
    assert again.returncode == 0, again.stderr
    jobs = {job_of(run) for run in asked.runs.glob("default/*")}
    assert len({job.split("_")[0] for job in jobs}) == 1  # one array, submitted once
    first, second = sorted((note(asked, name, "began")["at"], note(asked, name, "ended")["at"]) for name in "ab")
    assert first[1] < second[0]
    assert {run.status for run in find_runs([asked.runs]).runs} == {RunStatus.FINISHED}


@needs_slurm
@pytest.mark.slow
def test_slurm_refuses_and_it_is_said(cluster: dict[str, str], sweep: Callable[..., Sweep]) -> None:
    asked = through_slurm(sweep(*LAUNCHER, "kl_weight=1,2"), cluster)
    asked.command.append("hydra.launcher.partition=nowhere")
    done = asked.do()
    assert done.returncode == 1
    assert "hydra/launcher=slurm" in done.stderr
    assert "partition" in done.stderr
    assert "Traceback" not in done.stderr
