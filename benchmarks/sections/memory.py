"""The memory of a run, and of an evaluation with many importance samples, above that of the imports."""

import sys
import time
from pathlib import Path

from benchmarks.bench import Bench, program
from benchmarks.commands import peak_megabytes, seconds_of
from benchmarks.rows import Goal, Row, Spread, spread

ABOVE, IMPORTS, SECONDS = "above imports", "imports", "seconds"
IMPORTED = "import vae_lightning.training, wandb, matplotlib.figure, torchvision.utils, sklearn.neighbors"


def measure(bench: Bench) -> list[Row]:
    imports = peak_megabytes([sys.executable, "-c", IMPORTED])
    folder = bench.subfolder("memory")
    return [*rows_of_runs(imports, folder), *rows_of_evaluations(imports, folder)]


def rows_of_runs(imports: float, folder: Path) -> list[Row]:
    rows = []
    for model in ("mlp", "conv"):
        run = ["experiment=quick", f"model={model}", "trainer.max_epochs=1", f"runs_dir={folder}", "wandb.mode=offline"]
        peak = peak_megabytes([program("vae-train"), *run])
        rows.append(Row(f"a run of the {model}", memory(peak, imports), [Goal(ABOVE, 350.0)]))
    return rows


def rows_of_evaluations(imports: float, folder: Path) -> list[Row]:
    hidden = "hidden_sizes=[200,200]"
    deep = [f"model.encoder.{hidden}", f"model.decoder.{hidden}", "latent_dim=50", f"runs_dir={folder / 'deep'}"]
    seconds_of([program("vae-train"), *deep, "trainer.max_epochs=1", "wandb.mode=disabled"])
    [run] = (path.parent for path in (folder / "deep").rglob("results.json"))
    rows = []
    for samples in ("50", "500"):
        started = time.perf_counter()
        peak = peak_megabytes([program("vae-evaluate"), str(run), "--samples", samples])
        values = {**memory(peak, imports), SECONDS: spread([time.perf_counter() - started], "s")}
        what = f"vae-evaluate, {samples} importance samples, 784-200-200-50, 10,000 images"
        rows.append(Row(what, values, [Goal(ABOVE, 1500.0)]))
    return rows


def memory(peak: float, imports: float) -> dict[str, Spread | str]:
    return {IMPORTS: spread([imports], "MB"), ABOVE: spread([peak - imports], "MB")}
