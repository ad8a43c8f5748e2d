"""Config -> finished run: check, build, train, test, draw, and write the results last."""

import shlex
import sys
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console

from vae_lightning import __version__
from vae_lightning.assemble import build_data, build_model, build_trainer
from vae_lightning.callbacks import EpochProgress, Interruption, RunFigures, UnitMonitor
from vae_lightning.combinations import check_pixels, has_weighted_kl
from vae_lightning.config import checked
from vae_lightning.data import ImageDataModule
from vae_lightning.errors import UserError
from vae_lightning.examination import AFTER_TRAINING, Examination, forecast_of
from vae_lightning.module import VAE
from vae_lightning.report.forecasts import forecast_results
from vae_lightning.report.start import kl_of, start_summary
from vae_lightning.report.tables import results_summary
from vae_lightning.runs import directory
from vae_lightning.runs.checkpoints import load_checkpoint
from vae_lightning.runs.curves import JsonLinesLogger, cut_from
from vae_lightning.runs.identity import RunIdentity, critical_quantity, identify, settings, unusual_choices
from vae_lightning.runs.length import last_moment
from vae_lightning.runs.trainer import quieten_lightning
from vae_lightning.runs.wandb_window import WandbSettings, sync_command, wandb_logger

Config = dict[str, Any]


def train(config: Config) -> dict[str, Any]:
    """Do what a resolved config says and return the results.

    A finished run is not trained again (``rerun=true`` does, keeping the earlier one aside); an interrupted one
    continues from its last checkpoint.

    Raises:
        UserError: whatever the user can mend.
    """
    config = checked(config)
    identity = identify(config)
    first_process = rank_zero_only.rank == 0  # type: ignore[attr-defined]  # set by Lightning from the environment
    console = Console(quiet=not first_process)
    if first_process and not config["rerun"] and (results := directory.read_results(identity.directory)):
        console.print(f"{identity.directory} is finished already; rerun=true trains it again")
    else:
        results = _train_and_test(config, identity, console)
        if first_process:
            directory.write_results(identity.directory, results)
    console.print(results_summary(results, identity.directory))
    return results


def _train_and_test(config: Config, identity: RunIdentity, console: Console) -> dict[str, Any]:
    quieten_lightning()
    data = build_data(config)
    model = build_model(config, data.image_shape)
    check_pixels(model.likelihood, not data.splits["train"].pixels.is_floating_point(), data.binarize)
    model_forecast = forecast_of(model, data)
    figures = RunFigures(identity.directory, model_forecast)
    timer = Timer(interval="epoch", verbose=False)  # its state is in the checkpoint: a resumed run counts all its time
    callbacks = [UnitMonitor(), EpochProgress(console), figures, timer, Interruption()]
    trainer = build_trainer(config, identity.directory, callbacks)
    # Nothing is written before all that can be refused has been built.
    window = None
    if trainer.is_global_zero:
        _open_directory(config, identity, console)
        window = wandb_logger(WandbSettings(**config["wandb"]), identity, config)
    trainer.loggers = [JsonLinesLogger(identity.directory), *([window] if window else [])]
    failed = True
    try:
        console.print(start_summary(config, identity, data, model, trainer, model_forecast))
        _fit(trainer, model, data, identity.directory, console)
        epochs, steps = trainer.current_epoch, trainer.global_step
        kl_weight = model.kl_weight_at(last_moment(config, data))
        examination = Examination(model, data, kl_weight, AFTER_TRAINING)
        trainer.test(examination, datamodule=data, verbose=False)
        failed = False
    finally:
        if window:
            import wandb

            wandb.finish(exit_code=int(failed))
            if command := sync_command(identity.directory):
                console.print(f"W&B was offline; to upload this run later: {command}", soft_wrap=True)
    assert examination.findings is not None  # noqa: S101 (the test pass has just been)
    return {
        **_description(config, identity, model, kl_weight),
        "epochs": epochs,
        "steps": steps,
        "seconds": round(timer.time_elapsed("train"), 3),
        **forecast_results(model_forecast if has_weighted_kl(model.objective, model.posterior) else None, kl_weight),
        **examination.findings.results(),
        **figures.kinds,
    }


def _open_directory(config: Config, identity: RunIdentity, console: Console) -> None:
    if config["rerun"] and identity.directory.exists():
        console.print(f"rerun: the earlier run is kept as {directory.set_aside(identity.directory)}", soft_wrap=True)
    directory.open_directory(identity.directory, config)


def _fit(trainer: Trainer, model: VAE, data: ImageDataModule, folder: Path, console: Console) -> None:
    checkpoint = directory.newest_checkpoint(folder)
    position = load_checkpoint(checkpoint) if checkpoint else {"epoch": -1, "global_step": 0}
    if checkpoint:
        console.print(f"continuing after epoch {position['epoch'] + 1} from {checkpoint}", soft_wrap=True)
    if trainer.is_global_zero:
        cut_from(folder, position["global_step"])
    try:
        trainer.fit(model, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except SystemExit as stopped:  # what Lightning makes of Ctrl-C
        raise KeyboardInterrupt from stopped
    except UserError as error:
        good = directory.newest_checkpoint(folder)
        where = f"The last good checkpoint is {good}." if good else "There was no checkpoint before it."
        raise UserError(f"{error}\n{where}") from error


def _description(config: Config, identity: RunIdentity, model: VAE, kl_weight: float) -> dict[str, Any]:
    variance = model.likelihood.variance  # as it ended, where it is learned
    return {
        "run": identity.directory.name,
        "study": config["study"]["name"],
        "title": identity.title,
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "fingerprint": identity.fingerprint,
        "kl_weight": config["kl_weight"],
        "kl_weight_at_the_end": kl_weight,
        "decoder_variance": variance,
        "kl_weight_times_variance": critical_quantity(config, kl_weight, variance),
        "kl_computation": kl_of(model),
        "choices": unusual_choices(config),
        "settings": settings(config),
        "latent_dim": config["latent_dim"],
        "seed": config["seed"],
        "versions": {
            "vae-lightning": __version__,
            "torch": torch.__version__,
            "lightning": lightning.__version__,
        },
    }
