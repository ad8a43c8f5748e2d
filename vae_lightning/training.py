"""Config -> finished run: check, build, train, test, draw, and write the results last."""

import errno
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console

from vae_lightning.assemble import (
    begin_at_mean_image,
    build_callbacks,
    build_data,
    build_metrics,
    build_model,
    build_trainer,
)
from vae_lightning.callbacks import EpochProgress, Interruption, RunFigures, Saving, UnitMonitor
from vae_lightning.combinations import batch_conflicts, check_together, kl_coefficient, pixel_conflicts
from vae_lightning.config import checked
from vae_lightning.data import ImageDataModule
from vae_lightning.errors import Code, Interrupted, UserError
from vae_lightning.evaluation import RESIDUAL_SAMPLES, Effort, Evaluator, Metric, forecast_of
from vae_lightning.module import VAE
from vae_lightning.runs import directory
from vae_lightning.runs.curve_logger import JsonLinesLogger
from vae_lightning.runs.curves import continue_curves, falling_of
from vae_lightning.runs.description import description
from vae_lightning.runs.lock import PATIENCE_S, locked_run
from vae_lightning.runs.results import Results
from vae_lightning.runs.resume import ResumePoint, resume_point_in_shorter_run, resume_point_of
from vae_lightning.runs.run_config import RunConfig
from vae_lightning.runs.saved_config import check_unchanged
from vae_lightning.runs.summaries import print_results
from vae_lightning.runs.threads import threads_of_run
from vae_lightning.runs.trainer import last_step, quieten_lightning, steps_per_epoch
from vae_lightning.runs.wandb_session import wandb_session
from vae_lightning.start_summary import start_summary
from vae_lightning.terminal import print_line
from vae_lightning.theory import Forecast, NoForecast

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO)


class _Parts(NamedTuple):
    """What a run consists of."""

    data: ImageDataModule
    model: VAE
    trainer: Trainer
    forecast: Forecast | NoForecast
    metrics: list[Metric]
    timer: Timer


def train(config: RunConfig | dict[str, Any], patience_s: float = PATIENCE_S, measure_threads: bool = False) -> Results:
    """Do what a config says and return the results. A dictionary, as Hydra composes it, is checked first.

    A finished run is not trained again without ``rerun``; an interrupted one continues at its last checkpoint, and ends
    as if it had never stopped. One that another process is training is waited for as long as ``patience_s``. With
    ``measure_threads`` a run on a CPU gets as many threads as pay: see :mod:`vae_lightning.runs.threads`.

    Raises UserError for whatever the user can mend, and Interrupted after a signal, with everything saved.
    """
    config = checked(config)
    first_process = rank_zero_only.rank == 0  # type: ignore[attr-defined]  # set by Lightning from the environment
    console = Console(quiet=not first_process)
    if results := None if config.rerun else _results_of(config):
        print_line(console, f"{config.directory} is finished already; rerun=true trains it again")
    else:
        results = _train_and_test(config, console, first_process, patience_s, measure_threads)
    print_results(console, results, config.directory)
    return results


def _results_of(config: RunConfig) -> Results | None:
    results = directory.read_results(config.directory)
    if results:
        check_unchanged(config.directory, config)
    return results


def _train_and_test(
    config: RunConfig, console: Console, first_process: bool, patience_s: float, measure_threads: bool
) -> Results:
    quieten_lightning()
    parts = _build(config, console)
    tell = partial(print_line, console)
    begun = not config.rerun and directory.newest_checkpoint(config.directory)
    length = steps_per_epoch(config, parts.data)
    elsewhere = None if begun else resume_point_in_shorter_run(config, parts.model, length, tell)
    # Nothing is written before all that can be refused has been built.
    with locked_run(config, tell, patience_s) if first_process else nullcontext():
        # Another process may have finished it while this one was building.
        if first_process and not config.rerun and (results := _results_of(config)):
            return results
        own = None if config.rerun else resume_point_of(config.directory, tell, set_aside=first_process)
        start = own or elsewhere
        if measure_threads and config.trainer["accelerator"] == "cpu" and parts.trainer.world_size == 1:
            torch.set_num_threads(threads_of_run(parts.model, parts.data, start.threads if start else None))
        try:
            results = _run(config, parts, start, console)
            if first_process:
                directory.write_results(config.directory, results)
        except OSError as error:
            if error.errno not in DISK_ERRORS:
                raise
            reason = f"{config.directory}: {error}; once that is mended, the same command continues"
            reason += f"\n{_last_good(config.directory)}"
            raise UserError(reason, Code.CANNOT_WRITE, [error.filename or config.directory]) from error
    return results


def _build(config: RunConfig, console: Console) -> _Parts:
    data = build_data(config)
    model = build_model(config, data.image_shape)
    if config.model.output_bias == "pixel_means":
        begin_at_mean_image(model, data)
    check_together(pixel_conflicts(model.likelihood, data.scale, data.binarize, data.splits))
    check_together(batch_conflicts(model.objective, model.posterior, data.smallest_batch))
    timer = Timer(interval="epoch", verbose=False)  # its state is in the checkpoint: a resumed run counts all its time
    interruption = Interruption()
    saving = Saving(config.directory, config.save_every_n_steps, interruption)
    # The user's before those that save: what they change is in the checkpoint.
    callbacks = [UnitMonitor(), EpochProgress(console), RunFigures(config.directory), timer, *build_callbacks(config)]
    callbacks += [interruption, saving]
    trainer = build_trainer(config, config.directory, callbacks)
    return _Parts(data, model, trainer, forecast_of(model, data), build_metrics(config), timer)


def _run(config: RunConfig, parts: _Parts, start: ResumePoint | None, console: Console) -> Results:
    """Fit, evaluate and draw, with the curves in the run directory and, where it is wanted, in W&B."""
    data, model, trainer = parts[:3]
    folder, tell = config.directory, partial(print_line, console)
    if trainer.is_global_zero:
        continue_curves(folder, start.curve_lines if start else 0, start.run_directory if start else None)
    else:
        config = config.changed(wandb=config.wandb.model_copy(update={"mode": "disabled"}))  # one session for all ranks
    continues = start is not None and not config.rerun
    with wandb_session(config, continues, tell) as window:
        trainer.loggers = [JsonLinesLogger(folder), *([window] if window else [])]
        console.print(start_summary(config, data, model, trainer, parts.forecast))
        tell(f"writes to {folder}")  # whole and on a line of its own, so that it can be copied
        if window:
            tell(window.how_to_look)
        if start:
            tell(f"continuing after step {start.steps} from {start.checkpoint}")
        _fit(trainer, model, data, folder, start)
        results = _results(config, parts)
        if window:
            window.conclude(results, directory.newest_checkpoint(folder) if config.wandb.log_checkpoint else None)
    return results


def _results(config: RunConfig, parts: _Parts) -> Results:
    """Evaluate the trained model on the test images, and say what the run was."""
    data, model, trainer, model_forecast, metrics, timer = parts
    how_long: dict[str, float] = {"epochs": trainer.current_epoch, "steps": trainer.global_step}
    kl_weight = model.kl_weight_in_force_at(last_step(config, data))
    falling = falling_of(config.directory, kl_weight, kl_coefficient(model.objective, kl_weight))
    asked = config.evaluation
    effort = Effort(asked.importance_samples, RESIDUAL_SAMPLES[asked.thorough], asked.thorough)
    evaluation = Evaluator(model, data, kl_weight, effort, model_forecast, metrics, falling)
    with _signals_told(trainer):
        trainer.test(evaluation, datamodule=data, verbose=False)
    how_long["seconds"] = round(timer.time_elapsed("train"), 3)
    return Results({**description(config, model, kl_weight), **how_long, **evaluation.results})


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
