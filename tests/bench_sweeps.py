"""The speed of sweeps and reports, for the bench's table."""

import contextlib
import io
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from rich.table import Table
from threadpoolctl import threadpool_limits

from vae_lightning.composing import composed
from vae_lightning.training import train

N_TINY = 40  # as many as make sweep has
N_REPORTED = 200
TINY = ["data=digits", "model=linear", "latent_dim=2", "trainer.max_epochs=1", "wandb.mode=disabled"]
MLP = ["latent_dim=20", "trainer.max_epochs=2", "wandb.mode=disabled"]
TRAIN = str(Path(sys.executable).with_name("vae-train"))
REPORT = str(Path(sys.executable).with_name("vae-report"))


def sweep_rows(table: Table, folder: Path) -> None:
    """Add a row for each promise about sweeps."""
    table.add_row(
        f"sweep of {N_TINY} tiny jobs on one slot, beyond their own time, each",
        "",
        f"{overhead_per_job(folder / 'tiny'):.2f} s",
        "",
        "at most 1.0 s",
    )
    least, gain, most = gains_of_slots(folder)
    table.add_row(
        "mlp, two slots of one thread / one of two threads, throughput",
        "",
        "",
        f"{gain:.2f} ({least:.2f} to {most:.2f})",
        "at least 1.6",
    )
    seconds, megabytes = report_of_many(folder)
    table.add_row(
        f"vae-report over {N_REPORTED} runs of two latents",
        "",
        f"{seconds:.1f} s; {megabytes:.1f} MB",
        "",
        "10 s; 15 MB",
    )


def overhead_per_job(folder: Path) -> float:
    """Return the wall time of a sweep minus what its jobs take in a process that has imported everything, per job.

    Both have one thread, and the second is timed before and after the first, for the machine's pace changes.
    """
    weights = ",".join(f"{0.1 * (index + 1):.1f}" for index in range(N_TINY))
    slots = ["hydra.launcher.n_slots=1", "hydra.launcher.threads=1"]
    command = [TRAIN, "-m", *TINY, *slots, f"kl_weight={weights}", f"runs_dir={folder / 'sweep'}"]
    own_time(folder / "warming")
    own = [own_time(folder / f"before{index}") for index in range(3)]
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    wall = time.perf_counter() - started
    own += [own_time(folder / f"after{index}") for index in range(3)]
    return wall / N_TINY - statistics.median(own)


def own_time(runs_dir: Path) -> float:
    """Return the seconds that a tiny job takes in this process with one thread."""
    config = composed([*TINY, f"runs_dir={runs_dir}"])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1), contextlib.redirect_stdout(io.StringIO()):  # scikit-learn's and numpy's too
            started = time.perf_counter()
            train(config)
            return time.perf_counter() - started
    finally:
        torch.set_num_threads(threads)


def gains_of_slots(folder: Path) -> list[float]:
    """Return how many times more jobs an hour two slots of one thread finish than one slot of two.

    Three times, in an order in which a machine whose pace drifts favours neither; in ascending order.
    """
    gains = []
    for number, order in enumerate(((1, 2), (2, 1), (1, 2))):
        seconds = {n_slots: _seconds_of_sweep(folder / str(number) / str(n_slots), n_slots) for n_slots in order}
        gains.append(seconds[1] / seconds[2])
    return sorted(gains)


def _seconds_of_sweep(runs_dir: Path, n_slots: int) -> float:
    """Return the seconds from the first job's beginning to the last one's end."""
    slots = [f"hydra.launcher.n_slots={n_slots}", f"hydra.launcher.threads={2 // n_slots}"]
    command = [TRAIN, "-m", *MLP, *slots, "kl_weight=0.5,1,2,4", f"runs_dir={runs_dir}"]
    subprocess.run(command, check=True, capture_output=True)
    began = min(path.stat().st_mtime for path in runs_dir.glob("default/*/config.yaml"))
    ended = max(path.stat().st_mtime for path in runs_dir.glob("default/*/results.json"))
    return ended - began


def report_of_many(folder: Path) -> tuple[float, float]:
    """Return seconds and megabytes of a report over copies of a run, told apart by weight, schedule and seed."""
    subprocess.run(
        [TRAIN, "experiment=quick", "trainer.max_epochs=1", "wandb.mode=disabled", f"runs_dir={folder / 'one'}"],
        check=True,
        capture_output=True,
    )
    [run] = (path.parent for path in (folder / "one").rglob("results.json"))
    results = json.loads((run / "results.json").read_text())
    for number in range(N_REPORTED):
        name = f"run{number}"
        shutil.copytree(run, folder / "many" / name, ignore=shutil.ignore_patterns("checkpoints"))
        weight, seed = 0.001 * 1.5 ** (number % 25), number // 50
        schedule = ("constant", "cyclical_linear")[number // 25 % 2]
        settings = {**results["settings"], "beta_schedule.name": schedule, "seed": seed}
        found = {**results, "run": name, "kl_weight": weight, "seed": seed, "settings": settings}
        (folder / "many" / name / "results.json").write_text(json.dumps(found))
    started = time.perf_counter()
    subprocess.run([REPORT, str(folder / "many")], check=True, capture_output=True)
    return time.perf_counter() - started, (folder / "many" / "report.html").stat().st_size / 2**20
