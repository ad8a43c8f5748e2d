"""Speed and memory as a table: a bare PyTorch loop and ours, side by side in one run. Started by ``make bench``.

Stretches of ours and of the bare loop alternate (whole epochs of the mlp, parts of one of the slower conv), with the
same networks, batches, optimiser and threads, so that a change of the machine's speed meets both; the ratio is the
median over the pairs, with its quartiles. Ours runs with all that a normal run has: local curves, offline W&B, the
progress bar, the unit monitor. Shown are seconds an epoch.
"""

import io
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from bench_sweeps import sweep_rows
from lightning.pytorch import Callback
from rich.console import Console
from rich.table import Table

from vae_lightning.assemble import build_data, build_model, build_trainer
from vae_lightning.callbacks import EpochProgress, Interruption, Saving, UnitMonitor
from vae_lightning.composing import composed
from vae_lightning.config import checked
from vae_lightning.data import ImageDataModule
from vae_lightning.module import VAE
from vae_lightning.optimizers import optimizer_of
from vae_lightning.runs.curve_logger import JsonLinesLogger
from vae_lightning.runs.directory import make_folders
from vae_lightning.runs.trainer import quieten_lightning
from vae_lightning.runs.wandb_session import wandb_session

PAIRS = {"mlp": 9, "conv": 24}  # measured, after one to warm up
BATCHES = {"mlp": 600, "conv": 25}  # in each stretch
EPOCH = 600  # batches of a whole epoch
IMPORTS = "import vae_lightning.training, wandb, matplotlib.figure, torchvision.utils, sklearn.neighbors"


def bare_epoch(model: VAE, optimizer: torch.optim.Optimizer, data: ImageDataModule, n_batches: int) -> float:
    """Train one epoch of beta-VAE as a page of plain PyTorch would; return the seconds."""
    pixels = data.splits["train"].pixels
    started = time.perf_counter()
    order = torch.randperm(len(pixels))
    for index in range(n_batches):
        batch = pixels[order[index * 100 : (index + 1) * 100]].float().div_(255)
        mean, log_variance = model.encoder(batch).chunk(2, dim=-1)
        codes = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        reconstruction = torch.sigmoid(model.decoder(codes))
        distortion = (batch - reconstruction).square().sum((1, 2, 3)).mean()
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        optimizer.zero_grad()
        (distortion + kl).backward()
        optimizer.step()
    return time.perf_counter() - started


class Pairs(Callback):
    """Times each of our epochs and runs a bare epoch after it."""

    def __init__(self, rival: VAE) -> None:
        self.rival = rival
        self.optimizer = optimizer_of(rival.optimizer, rival.parameter_groups())
        self.ours: list[float] = []
        self.bare: list[float] = []

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.started = time.perf_counter()

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self.ours.append(time.perf_counter() - self.started)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        n_batches = int(trainer.num_training_batches)
        self.bare.append(bare_epoch(self.rival, self.optimizer, trainer.datamodule, n_batches))


class Shares(Callback):
    """Times a training epoch, the pass over held-out images after it, and the unit monitor, which stands before it."""

    def __init__(self) -> None:
        self.training: list[float] = []
        self.validation: list[float] = []
        self.monitor: list[float] = []
        self.saving: list[float] = []

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.started = time.perf_counter()

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self.training.append(time.perf_counter() - self.started)
        self.started = time.perf_counter()

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.validation.append(time.perf_counter() - self.started)


class TimedMonitor(UnitMonitor):
    """The unit monitor with a clock."""

    def __init__(self, shares: Shares) -> None:
        self.shares = shares

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        started = time.perf_counter()
        super().on_validation_end(trainer, pl_module)
        self.shares.monitor.append(time.perf_counter() - started)


class TimedSaving(Saving):
    """The checkpoint of an epoch, flushed to the disk, with a clock."""

    def __init__(self, run_directory: Path, shares: Shares) -> None:
        self.shares = shares
        self.signals = Interruption()
        super().__init__(run_directory, None, self.signals)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        started = time.perf_counter()
        super().on_train_epoch_end(trainer, pl_module)
        self.shares.saving.append(time.perf_counter() - started)


def epoch_shares(folder: Path, n_epochs: int = 4) -> Shares:
    overrides = ["model=mlp", "latent_dim=50", f"trainer.max_epochs={n_epochs}", f"runs_dir={folder / 'shares'}"]
    config = checked(composed(overrides))
    make_folders(config.directory)
    data = build_data(config)
    shares = Shares()
    saving = TimedSaving(config.directory, shares)
    trainer = build_trainer(config, config.directory, [TimedMonitor(shares), shares, saving.signals, saving])
    trainer.loggers = [JsonLinesLogger(config.directory)]
    trainer.fit(build_model(config, data.image_shape), datamodule=data)
    return shares


def epoch_pairs(folder: Path, model: str, latent_dim: int) -> Pairs:
    overrides = [
        f"model={model}",
        f"latent_dim={latent_dim}",
        f"trainer.max_epochs={PAIRS[model] + 1}",
        f"runs_dir={folder}",
        "wandb.mode=offline",
    ]
    config = checked(composed(overrides))
    make_folders(config.directory)
    data = build_data(config)
    vae, rival = (build_model(config, data.image_shape) for _ in range(2))
    pairs = Pairs(rival)
    progress = EpochProgress(Console(file=io.StringIO(), force_terminal=True))
    signals = Interruption()
    saving = Saving(config.directory, None, signals)
    trainer = build_trainer(config, config.directory, [UnitMonitor(), progress, pairs, signals, saving])
    trainer.limit_train_batches = BATCHES[model]
    trainer.limit_val_batches = 1
    with wandb_session(config, False, print) as window:
        assert window
        trainer.loggers = [JsonLinesLogger(config.directory), window]
        trainer.fit(vae, datamodule=data)
    return pairs


def peak_megabytes(command: list[str]) -> float:
    """Run a command and return the largest resident memory it had, by the kernel's own high-water mark."""
    # Not wait4's ru_maxrss, which a child inherits from this larger process when it is forked.
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        kilobytes = 0
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            kilobytes = max([kilobytes, *map(int, re.findall(r"VmHWM:\s+(\d+)", status))])
            time.sleep(0.02)
    if process.returncode:
        sys.exit(f"{command} failed")
    return kilobytes / 1024


def median_seconds(command: list[str], times: int = 5) -> float:
    def once() -> float:
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started

    return statistics.median(once() for _ in range(times))


def main() -> None:
    quieten_lightning()
    command = str(Path(sys.executable).with_name("vae-train"))
    table = Table(title=f"{torch.get_num_threads()} threads, torch {torch.__version__}", title_justify="left")
    for column in ("what", "bare loop", "ours", "ours / bare", "goal"):
        table.add_column(column, justify="left" if column == "what" else "right")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model, latent_dim, goal in (("mlp", 50, "1.25"), ("conv", 2, "1.05")):
            n_batches = BATCHES[model]
            pairs = epoch_pairs(folder, model, latent_dim)
            ours, bare = pairs.ours[1:], pairs.bare[1:]
            ratios = [a / b for a, b in zip(ours, bare, strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            epochs = (f"{statistics.median(seconds) * EPOCH / n_batches:.2f} s" for seconds in (bare, ours))
            what = f"training epoch, {model}, latent {latent_dim}"
            table.add_row(what, *epochs, f"{middle:.3f} ({low:.2f} to {high:.2f})", f"at most {goal}")

        shares = epoch_shares(folder)
        epoch = statistics.median(shares.training[1:])
        rows = (
            ("pass over 10,000 test images", shares.validation, ""),
            ("unit monitor", shares.monitor, "at most 5 %"),
            ("checkpoint on the disk", shares.saving, "at most 2 %"),
        )
        for what, spent, goal in rows:
            share = statistics.median(spent[1:]) / epoch
            table.add_row(f"{what} after an epoch, mlp", "", f"{share:.2%} of it", "", goal)

        for option in (["--help"], ["--cfg", "job"]):
            seconds = median_seconds([command, *option])
            table.add_row(f"vae-train {' '.join(option)}", "", f"{seconds:.2f} s", "", "under 1.5 s")

        config = checked(composed([]))
        started = time.perf_counter()
        build_data(config)
        table.add_row("MNIST from disk", "", f"{time.perf_counter() - started:.2f} s", "", "under 0.5 s")

        forecast = [str(Path(sys.executable).with_name("vae-forecast")), "kl_weight=5"]
        table.add_row("vae-forecast kl_weight=5", "", f"{median_seconds(forecast, 3):.2f} s", "", "under 5 s")

        imports = peak_megabytes([sys.executable, "-c", IMPORTS])
        for model in ("mlp", "conv"):
            run = [command, "experiment=quick", f"model={model}", "trainer.max_epochs=1", f"runs_dir={folder}"]
            extra = peak_megabytes([*run, "wandb.mode=offline"]) - imports
            row = f"memory of a run above its imports ({imports:.0f} MB), {model}"
            table.add_row(row, "", f"{extra:.0f} MB", "", "at most 350 MB")

        hidden = "hidden_sizes=[200,200]"
        deep = [f"model.encoder.{hidden}", f"model.decoder.{hidden}", "latent_dim=50", f"runs_dir={folder / 'deep'}"]
        subprocess.run([command, *deep, "trainer.max_epochs=1", "wandb.mode=disabled"], check=True, capture_output=True)
        [run_directory] = (path.parent for path in (folder / "deep").rglob("results.json"))
        for samples in ("50", "500"):
            started = time.perf_counter()
            evaluate = [str(Path(sys.executable).with_name("vae-evaluate")), str(run_directory), "--samples", samples]
            extra = peak_megabytes(evaluate) - imports
            seconds = time.perf_counter() - started
            what = f"vae-evaluate, K = {samples}, 784-200-200-50: seconds; memory above imports"
            table.add_row(what, "", f"{seconds:.0f} s; {extra:.0f} MB", "", "under 1500 MB")
        sweep_rows(table, folder)
    Console().print(table)


if __name__ == "__main__":
    main()
