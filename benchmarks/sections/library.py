"""How long the library takes: to import beside torch, to forecast, to diagnose, to load many runs; and its memory."""

import sys
from pathlib import Path

from benchmarks.bench import Bench, environment, program
from benchmarks.commands import peak_megabytes, repeated, seconds_of, told_seconds
from benchmarks.rows import Goal, Row, ratio, spread
from benchmarks.sections.commands import N_REPORTED, OURS, copy_of

TORCH, RATIO, MEMORY = "torch", "ours / torch", "peak"
N_STARTS = 7
LIBRARY = "from vae_lightning import diagnose, forecast, from_loss"
DATA = """
import time, torch, vae_lightning as vl
from torch import nn
from vae_lightning.data import idx_images
splits = idx_images(dataset="mnist", data_dir=DATA_DIR)
training, test = splits.training.pixels, splits.test.pixels
"""
FORECAST = f"""{DATA}
started = time.perf_counter()
str(vl.forecast(training, "bernoulli", 1.0, latent_dim=20))
print(time.perf_counter() - started)
"""
DIAGNOSIS = f"""{DATA}
body = nn.Sequential(nn.Flatten(), nn.Linear(784, 400), nn.ReLU(), nn.Linear(400, 400), nn.ReLU(), nn.Linear(400, 40))
back = nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 400), nn.ReLU(), nn.Linear(400, 784))
started = time.perf_counter()
str(vl.diagnose(lambda x: body(x).chunk(2, 1), back, test, "bernoulli", 1.0, decoder_gives="logits"))
print(time.perf_counter() - started)
"""
LOADED = """
import time, pandas, vae_lightning as vl
vl.load_runs
started = time.perf_counter()
vl.load_runs(FOLDER)
print(time.perf_counter() - started)
"""


def measure(bench: Bench) -> list[Row]:
    return [imports(), *answers(bench.n_threads), loading(bench.subfolder("library"))]


def imports() -> Row:
    """Import torch, and the library, in turns."""
    seconds: dict[str, list[float]] = {TORCH: [], OURS: []}
    for _ in range(N_STARTS):
        for name, code in ((TORCH, "import torch"), (OURS, LIBRARY)):
            seconds[name] += repeated([sys.executable, "-c", code], 1)
    values = {name: spread(found, "s") for name, found in seconds.items()}
    beside = ratio(seconds[OURS], seconds[TORCH])
    return Row("import forecast and diagnose", {**values, RATIO: beside}, [Goal(RATIO, 1.5)])


def answers(n_threads: int) -> list[Row]:
    named = {
        "forecast of 60,000 images of MNIST": (FORECAST, 10.0),
        "diagnose on 10,000 of them, 784-400-400-20": (DIAGNOSIS, 15.0),
    }
    rows = []
    for what, (code, limit) in named.items():
        program_ = f"DATA_DIR = {environment(None)['VAE_DATA_DIR']!r}\n{code}"
        seconds = [told_seconds(program_, n_threads) for _ in range(3)]
        memory = peak_megabytes([sys.executable, "-c", program_])
        rows.append(Row(what, {OURS: spread(seconds, "s"), MEMORY: spread([memory], "MB")}, [Goal(OURS, limit)]))
    return rows


def loading(folder: Path) -> Row:
    """Load copies of a run, told apart by weight, schedule and seed."""
    one = ["experiment=quick", "data=digits", "trainer.max_epochs=1", "wandb.mode=disabled"]
    seconds_of([program("vae-train"), *one, f"runs_dir={folder / 'one'}"])
    [run] = (path.parent for path in (folder / "one").rglob("results.json"))
    for index in range(N_REPORTED):
        copy_of(run, folder / "many" / f"run{index}", index)
    seconds = [told_seconds(f"FOLDER = {str(folder / 'many')!r}\n{LOADED}", 1) for _ in range(5)]
    return Row(f"load_runs of {N_REPORTED} runs", {OURS: spread(seconds, "s")}, [Goal(OURS, 1.0)])
