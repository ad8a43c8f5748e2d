"""Config -> finished run: check, build, train, test, draw, and write the results last."""

import errno
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console

from vae_lightning.assemble import build_data, build_model, build_trainer
from vae_lightning.callbacks import EpochProgress, Interruption, RunFigures, Saving, UnitMonitor
from vae_lightning.combinations import check_pixels, has_weighted_kl
from vae_lightning.config import checked
from vae_lightning.data import ImageDataModule
from vae_lightning.errors import Code, Interrupted, UserError
from vae_lightning.evaluation import AFTER_TRAINING, Evaluator, forecast_of
from vae_lightning.module import VAE
from vae_lightning.report.description import description
from vae_lightning.report.forecast_table import forecast_results
from vae_lightning.report.start_summary import start_summary
from vae_lightning.report.tables import results_summary
from vae_lightning.runs import directory
from vae_lightning.runs.curve_logger import JsonLinesLogger
from vae_lightning.runs.curves import continue_curves
from vae_lightning.runs.identity import RunIdentity, identify
from vae_lightning.runs.length import last_moment, steps_per_epoch
from vae_lightning.runs.lock import A_LOOK_S, check_unchanged, locked_run
from vae_lightning.runs.resume import ResumePoint, resume_point_in_shorter_run, resume_point_of
from vae_lightning.runs.trainer import quieten_lightning
from vae_lightning.runs.wandb_session import wandb_session
from vae_lightning.runs.wandb_settings import WandbSettings
from vae_lightning.theory import Forecast

Config = dict[str, Any]
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO)


class _Parts(NamedTuple):
    """What a run consists of."""

    data: ImageDataModule
    model: VAE
    trainer: Trainer
    forecast: Forecast | None
    figures: RunFigures
    timer: Timer


def train(config: Config, patience_s: float = A_LOOK_S) -> dict[str, Any]:
    """Do what a resolved config says and return the results.

    A finished run is not trained again (``rerun=true`` does, keeping the earlier one aside); an interrupted one
    continues at the step of its last checkpoint, and ends as if it had never stopped. One that another process is
    training is waited for as long as ``patience_s``.

    Raises:
        UserError: whatever the user can mend.
        Interrupted: a signal came; everything is saved.
    """
    config = checked(config)
    identity = identify(config)
    if config.get("run") not in (None, derived := identity.derived()):
        raise UserError(
            f"run={config['run']}: follows from the rest of the config, which makes it {derived}", about=["run"]
        )
    config["run"] = derived
    first_process = rank_zero_only.rank == 0  # type: ignore[attr-defined]  # set by Lightning from the environment
    console = Console(quiet=not first_process)
    results = None if config["rerun"] else _results_of(identity, config)
    if results:
        console.print(f"{identity.directory} is finished already; rerun=true trains it again")
    else:
        results = _train_and_test(config, identity, console, first_process, patience_s)
    console.print(results_summary(results, identity.directory))
    return results


def _results_of(identity: RunIdentity, config: Config) -> dict[str, Any] | None:
    results = directory.read_results(identity.directory)
    if results:
        check_unchanged(identity.directory, config)
    return results


def _train_and_test(
    config: Config, identity: RunIdentity, console: Console, first_process: bool, patience_s: float
) -> dict[str, Any]:
    quieten_lightning()
    parts = _build(config, identity, console)
    tell = partial(console.print, soft_wrap=True, highlight=False)

    begun = not config["rerun"] and directory.newest_checkpoint(identity.directory)
    elsewhere = (
        None if begun else resume_point_in_shorter_run(config, parts.model, steps_per_epoch(config, parts.data), tell)
    )
    # Nothing is written before all that can be refused has been built.
    with locked_run(identity.directory, config, tell, patience_s) if first_process else nullcontext():
        # Another process may have finished it while this one was building.
        if first_process and not config["rerun"] and (results := _results_of(identity, config)):
            return results
        own = None if config["rerun"] else resume_point_of(identity.directory, tell, set_aside=first_process)
        try:
            results = _run(config, identity, parts, own or elsewhere, console)
            if first_process:
                directory.write_results(identity.directory, results)
        except OSError as error:
            if error.errno not in DISK_ERRORS:
                raise
            raise UserError(
                f"{identity.directory}: {error}. Once that is mended, the same command continues.\n"
                f"{_last_good(identity.directory)}",
                Code.CANNOT_WRITE,
                [error.filename or identity.directory],
            ) from error
    return results


def _build(config: Config, identity: RunIdentity, console: Console) -> _Parts:
    data = build_data(config)
    model = build_model(config, data.image_shape)
    check_pixels(model.likelihood, not data.splits["train"].pixels.is_floating_point(), data.binarize)
    model_forecast = forecast_of(model, data)
    figures = RunFigures(identity.directory, model_forecast)
    timer = Timer(interval="epoch", verbose=False)  # its state is in the checkpoint: a resumed run counts all its time
    interruption = Interruption()
    saving = Saving(identity.directory, config["save_every_n_steps"], interruption)
    callbacks = [UnitMonitor(), EpochProgress(console), figures, timer, interruption, saving]
    trainer = build_trainer(config, identity.directory, callbacks)
    return _Parts(data, model, trainer, model_forecast, figures, timer)


def _run(
    config: Config, identity: RunIdentity, parts: _Parts, start: ResumePoint | None, console: Console
) -> dict[str, Any]:
    """Fit, examine and draw, with the curves in the run directory and, where it is wanted, in W&B."""
    data, model, trainer = parts[:3]
    tell = partial(console.print, soft_wrap=True, highlight=False)
    settings_of_wandb = WandbSettings(**config["wandb"])
    if trainer.is_global_zero:
        continue_curves(identity.directory, start.curve_lines if start else 0, start.run_directory if start else None)
    else:
        settings_of_wandb.mode = "disabled"  # one window for all ranks
    continues = start is not None and not config["rerun"]
    with wandb_session(settings_of_wandb, identity, config, continues, tell) as window:
        trainer.loggers = [JsonLinesLogger(identity.directory), *([window] if window else [])]
        console.print(start_summary(config, identity, data, model, trainer, parts.forecast))
        if window:
            tell(window.how_to_look)
        if start:
            tell(f"continuing after step {start.steps} from {start.checkpoint}")
        _fit(trainer, model, data, identity.directory, start)
        results = _results(config, identity, parts)
        if window:
            artefact = directory.newest_checkpoint(identity.directory) if settings_of_wandb.log_checkpoint else None
            window.conclude(results, artefact)
    return results


def _results(config: Config, identity: RunIdentity, parts: _Parts) -> dict[str, Any]:
    """Examine the trained model on the test images, and say what the run was."""
    data, model, trainer, model_forecast, figures, timer = parts
    epochs, steps = trainer.current_epoch, trainer.global_step
    kl_weight = model.kl_weight_at(last_moment(config, data))
    foreseen = model_forecast if has_weighted_kl(model.objective, model.posterior) else None
    evaluation = Evaluator(model, data, kl_weight, AFTER_TRAINING)
    with _signals_told(trainer):
        trainer.test(evaluation, datamodule=data, verbose=False)
    assert evaluation.findings is not None  # noqa: S101 (the test pass has just been)
    return {
        **description(config, identity, model, kl_weight),
        "epochs": epochs,
        "steps": steps,
        "seconds": round(timer.time_elapsed("train"), 3),
        **forecast_results(foreseen, kl_weight),
        **evaluation.findings.results(),
        **figures.kinds,
    }


def _fit(trainer: Trainer, model: VAE, data: ImageDataModule, folder: Path, start: ResumePoint | None) -> None:
    try:
        with _signals_told(trainer):
            trainer.fit(model, datamodule=data, ckpt_path=start.checkpoint if start else None, weights_only=True)
    except UserError as error:
        raise UserError(f"{error}\n{_last_good(folder)}", error.code, error.about) from error


@contextmanager
def _signals_told(trainer: Trainer) -> Iterator[None]:
    """Say what it was where Lightning, left to itself with a signal, makes a SystemExit of it or passes over it."""
    try:
        yield
    except SystemExit as stopped:
        raise (Interrupted(signal.SIGTERM) if trainer.received_sigterm else KeyboardInterrupt) from stopped
    if trainer.received_sigterm:
        raise Interrupted(signal.SIGTERM)


def _last_good(folder: Path) -> str:
    good = directory.newest_checkpoint(folder)
    return f"The last good checkpoint is {good}." if good else "There was no checkpoint before it."
