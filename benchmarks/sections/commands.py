"""How long people wait: for a command to start, for the images, for a forecast, for a report."""

import json
import shutil
import time
from pathlib import Path

from benchmarks.bench import Bench, environment, program
from benchmarks.commands import repeated, seconds_of
from benchmarks.rows import Goal, Row, spread

OURS, PAGE = "ours", "page"
N_REPORTED = 200


def measure(bench: Bench) -> list[Row]:
    return [*starts(), images_from_disk(), forecast(), report_of_many(bench.subfolder("report"))]


def starts() -> list[Row]:
    rows = []
    for option in (["--help"], ["--cfg", "job"]):
        seconds = repeated([program("vae-train"), *option], 5)
        rows.append(Row(f"vae-train {' '.join(option)}", {OURS: spread(seconds, "s")}, [Goal(OURS, 1.5)]))
    return rows


def images_from_disk() -> Row:
    """Time the data module of MNIST, in this process, which has imported what it needs."""
    from vae_lightning.assemble import build_data
    from vae_lightning.composing import composed
    from vae_lightning.config import checked

    config = checked(composed([f"data_dir={environment(None)['VAE_DATA_DIR']}"]))
    seconds = []
    for _ in range(4):
        started = time.perf_counter()
        build_data(config)
        seconds.append(time.perf_counter() - started)
    return Row("MNIST from disk", {OURS: spread(seconds[1:], "s")}, [Goal(OURS, 0.5)])


def forecast() -> Row:
    seconds = repeated([program("vae-forecast"), "kl_weight=5"], 3)
    return Row("vae-forecast kl_weight=5", {OURS: spread(seconds, "s")}, [Goal(OURS, 5.0)])


def report_of_many(folder: Path) -> Row:
    """Time a report over copies of a run of two latent units, told apart by weight, schedule and seed."""
    one = ["experiment=quick", "trainer.max_epochs=1", "wandb.mode=disabled", f"runs_dir={folder / 'one'}"]
    seconds_of([program("vae-train"), *one])
    [run] = (path.parent for path in (folder / "one").rglob("results.json"))
    for index in range(N_REPORTED):
        copy_of(run, folder / "many" / f"run{index}", index)
    seconds = seconds_of([program("vae-report"), str(folder / "many")])
    megabytes = (folder / "many" / "report.html").stat().st_size / 2**20
    values = {OURS: spread([seconds], "s"), PAGE: spread([megabytes], "MB")}
    return Row(f"vae-report over {N_REPORTED} runs", values, [Goal(OURS, 10.0), Goal(PAGE, 15.0)])


def copy_of(run: Path, copy: Path, index: int) -> None:
    """Copy a run and make it another one of a grid."""
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("checkpoints"))
    results = json.loads((run / "results.json").read_text())
    weight, seed = 0.001 * 1.5 ** (index % 25), index // 50
    schedule = ("constant", "cyclical_linear")[index // 25 % 2]
    settings = {**results["settings"], "beta_schedule.name": schedule, "seed": seed}
    changed = {**results, "run": copy.name, "kl_weight": weight, "seed": seed, "settings": settings}
    (copy / "results.json").write_text(json.dumps(changed))
