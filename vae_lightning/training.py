"""Config -> finished run: check, build, train, test, draw, and write the results last."""

import copy
import logging
import shlex
import sys
import warnings
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console

from vae_lightning import __version__
from vae_lightning.assemble import build_data, build_model, build_trainer
from vae_lightning.beta_schedules import Controller
from vae_lightning.callbacks import EpochProgress, RunFigures, UnitMonitor
from vae_lightning.combinations import check_pixels, kl_computation, price_of_a_nat, worth_knowing
from vae_lightning.config import checked
from vae_lightning.data import ImageDataModule
from vae_lightning.distributions import GaussianLearnedLikelihood
from vae_lightning.errors import UserError
from vae_lightning.examination import AFTER_TRAINING, Examination
from vae_lightning.module import VAE
from vae_lightning.report.forecasts import forecast_results, forecast_text
from vae_lightning.report.tables import facts, results_summary
from vae_lightning.runs import directory
from vae_lightning.runs.checkpoints import load_checkpoint
from vae_lightning.runs.curves import JsonLinesLogger, cut_from
from vae_lightning.runs.identity import (
    PLAIN,
    RunIdentity,
    critical_quantity,
    critical_text,
    identify,
    settings,
    unusual_choices,
)
from vae_lightning.runs.trainer import SMOKE_BATCHES
from vae_lightning.runs.wandb_window import WandbSettings, sync_command, wandb_logger
from vae_lightning.theory import Forecast, forecast, pixel_moments
from vae_lightning.timeline import Moment

Config = dict[str, Any]
SURVIVAL = ": a direction of the data can live only if its variance is larger"
LEARNED = "; σ² is learned, and this is its start"


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
    callbacks = [UnitMonitor(), EpochProgress(console), figures, timer]
    trainer = build_trainer(config, identity.directory, callbacks)
    # Nothing is written before all that can be refused has been built.
    window = None
    if trainer.is_global_zero:
        _open_directory(config, identity, console)
        window = wandb_logger(WandbSettings(**config["wandb"]), identity, config)
    trainer.loggers = [JsonLinesLogger(identity.directory), *([window] if window else [])]
    failed = True
    try:
        console.print(_start_summary(config, identity, data, model, trainer, model_forecast))
        _fit(trainer, model, data, identity.directory, console)
        epochs, steps = trainer.current_epoch, trainer.global_step
        kl_weight = model.kl_weight_at(last_moment(config, data))
        price = price_of_a_nat(model.objective, model.posterior, kl_weight)
        examination = Examination(model, data, price, AFTER_TRAINING)
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
        **forecast_results(model_forecast, kl_weight),
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


def forecast_of(model: VAE, data: ImageDataModule) -> Forecast | None:
    """Return what the spectrum of the training images lets live."""
    return forecast(pixel_moments(data.splits["train"], data.binarize), model.likelihood, model.latent_dim)


def last_moment(config: Config, data: ImageDataModule) -> Moment:
    """Return where the last step of a run stands."""
    n_batches = steps_per_epoch(config, data)
    total = n_batches * (1 if config["smoke"] else config["trainer"]["max_epochs"])
    return Moment(total - 1, total, n_batches)


def steps_per_epoch(config: Config, data: ImageDataModule) -> int:
    return SMOKE_BATCHES if config["smoke"] else len(data.splits["train"].pixels) // data.batch_size


def _start_summary(
    config: Config,
    identity: RunIdentity,
    data: ImageDataModule,
    model: VAE,
    trainer: Trainer,
    model_forecast: Forecast | None,
) -> Any:
    training, test = data.splits["train"].pixels, data.splits["test"].pixels
    shape = "x".join(map(str, data.image_shape))
    held_out = f"{len(data.splits['val'].pixels):,} validation, " if data.curve_split == "val" else ""
    encoder, decoder = (sum(p.numel() for p in part.parameters()) for part in (model.encoder, model.decoder))
    variance = model.likelihood.variance
    critical = critical_quantity(config, model.kl_weight, variance)
    learned = isinstance(model.likelihood, GaussianLearnedLikelihood)
    collapse = critical_text(critical) + (SURVIVAL if critical else "") + (LEARNED if critical and learned else "")
    names = {part: config[part]["name"] for part in PLAIN}
    devices = f"{trainer.num_devices} x {trainer.strategy.root_device.type}"
    rows = [
        ("run", identity.title),
        ("writes to", str(identity.directory)),
        ("data", f"{len(training):,} training, {held_out}{len(test):,} test images of {shape}"),
        ("model", f"{config['model']['name']}, latent {model.latent_dim}; parameters: {encoder:,} + {decoder:,}"),
        ("objective", f"{names['objective']}, gradient {names['estimator']}, beta schedule {names['beta_schedule']}"),
        ("densities", f"likelihood {names['likelihood']}, posterior {names['posterior']}"),
        ("KL", _kl_computation(model)),
        ("optimiser", f"{names['optimizer']}, learning rate {names['lr_schedule']}"),
        ("collapse", collapse),
        ("forecast", forecast_text(model_forecast, expected_kl_weight(config, data, model))),
        (
            "length",
            f"epochs: {trainer.max_epochs}, each of {steps_per_epoch(config, data)} batches of {data.batch_size}",
        ),
        ("device", f"{devices}, {torch.get_num_threads()} threads, precision {config['trainer']['precision']}"),
        ("W&B", _wandb_state(trainer)),
    ]
    notes = worth_knowing(model.objective, model.objective.estimator, model.posterior, model.likelihood, data.binarize)
    return facts("vae-train", [*rows, *(("note", note) for note in notes)])


def expected_kl_weight(config: Config, data: ImageDataModule, model: VAE) -> float | None:
    """Return the KL weight at the end of the run, where no controller will decide it."""
    return None if isinstance(model.beta_schedule, Controller) else model.kl_weight_at(last_moment(config, data))


def _kl_computation(model: VAE) -> str:
    family = copy.deepcopy(model.posterior)  # looking at a posterior must not move running statistics
    posterior = family(torch.zeros((2, family.n_parameters), device=model.device))
    return kl_computation(model.objective, posterior)


def _wandb_state(trainer: Trainer) -> str:
    runs = [logger.experiment for logger in trainer.loggers if isinstance(logger, WandbLogger)]
    return "disabled" if not runs else "offline, kept in the run directory" if runs[0].offline else runs[0].url


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
        "kl_computation": _kl_computation(model),
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


def quieten_lightning() -> None:
    """Our summaries say what Lightning's device banner and tips say."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    for expected in (
        "Checkpoint directory .* exists and is not empty",  # so it does when a run is continued
        "smaller than the logging interval",  # the module logs the rest of a short epoch at its end
    ):
        warnings.filterwarnings("ignore", message=f".*{expected}.*", category=UserWarning)
    # Lightning 2.6 asks torch something in a way that newer torch calls old.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
