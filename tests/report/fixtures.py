"""Finished and other runs, made by hand: numbers that a report must show exactly."""

import json
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from vae_lightning.runs.results import Results

SCHEDULES: dict[str, dict[str, Any]] = {
    "constant": {"beta_schedule.name": "constant", "beta_schedule._target_": "vae_lightning.schedules.constant"},
    "cyclical_linear": {
        "beta_schedule.name": "cyclical_linear",
        "beta_schedule._target_": "vae_lightning.schedules.cyclical",
        "beta_schedule.n_cycles": 4,
    },
}
CRITICAL = [10.0, 4.0]


def results(name: str, kl_weight: float, seed: int = 0, schedule: str = "constant", **found: Any) -> Results:
    """Return what a finished run says; its numbers follow from the weight and the seed."""
    active = sum(kl_weight < critical for critical in CRITICAL)
    content = {
        "run": name,
        "study": "toy",
        "command": "vae-train -m experiment=toy kl_weight=1,5",
        "kl_weight": kl_weight,
        "kl_weight_at_the_end": kl_weight,
        "kl_weight_times_variance": kl_weight / 2,
        "choices": [] if schedule == "constant" else [schedule],
        "latent_dim": 2,
        "seed": seed,
        "epochs": 3,
        "seconds": 1.5,
        "test/elbo": -100.25 - kl_weight - seed,
        "test/kl": 4.5 / kl_weight if kl_weight else 9.0,
        "test/distortion": 95.75 + kl_weight,
        "test/active_units": active,
        "test/active_directions": active,
        "test/kl_per_unit": [4.0, 0.5],
        "test/log_px": -99.5 - kl_weight - seed,
        "test/log_px_samples": 10,
        "forecast/active_units": active,
        "forecast/critical_weights": CRITICAL,
        "forecast/kl_per_unit": [1.5, 0.5],
        "verdict": "healthy" if active == 2 else "pruned",
        "settings": {
            "data.name": "mnist",
            "data.binarize": "none",
            "model.name": "mlp",
            "likelihood.name": "gaussian",
            **SCHEDULES[schedule],
            "kl_weight": kl_weight,
            "seed": seed,
        },
        "versions": {"vae-lightning": "0.3.0", "torch": "2.15.0"},
        **found,
    }
    return Results.read(content)


def finished(folder: Path, name: str, kl_weight: float = 1.0, **found: Any) -> Path:
    """Write a finished run of two epochs, with its pictures."""
    run = folder / name
    (run / "figures").mkdir(parents=True)
    (run / "results.json").write_text(json.dumps(results(name, kl_weight, **found)))
    write_config(run, kl_weight)
    (run / "metrics.jsonl").write_text(
        "".join(
            json.dumps(line) + "\n"
            for epoch in range(2)
            for line in (
                {"step": 5 * epoch, "epoch": epoch, "train/kl_weight": kl_weight * (epoch + 1) / 2},
                {"step": 5 * epoch + 4, "epoch": epoch, "test/kl_per_unit": [4.0, epoch / 2]},
            )
        )
    )
    for figure in ("samples", "reconstructions"):
        Image.new("L", (300, 200), 90).save(run / "figures" / f"{figure}.png")
    plane = Image.new("L", (21 * 4, 21 * 4), 0)
    plane.paste(255, (0, 0, 4, 4))  # the upper left code is white
    plane.save(run / "figures" / "latent_plane.webp", lossless=True)
    return run


def write_config(run: Path, kl_weight: float = 1.0) -> None:
    """Write what of a config says whose a directory is."""
    run.mkdir(parents=True, exist_ok=True)
    config = {
        "kl_weight": kl_weight,
        "latent_dim": 2,
        "seed": 0,
        "study": {"name": "toy", "question": "Where does it <collapse>?"},
        "trainer": {"max_epochs": 3},
        "run": {"fingerprint": "0", "directory": str(run), "version": "0.3.0"},
    }
    (run / "config.yaml").write_text(yaml.safe_dump(config))


def grid(folder: Path) -> None:
    """Write a sweep: three weights, two schedules, two seeds."""
    for schedule in SCHEDULES:
        for kl_weight in (1.0, 5.0, 20.0):
            for seed in (0, 1):
                finished(folder, f"{schedule}-w{kl_weight:g}-s{seed}", kl_weight, seed=seed, schedule=schedule)
