"""A run directory -> every diagnostic of its newest checkpoint, in ``results.json``, as figures, and as a table."""

import pkgutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import RichProgressBar
from rich.console import Console

from vae_lightning.assemble import build_data, build_metrics, build_model
from vae_lightning.callbacks import RunFigures
from vae_lightning.combinations import kl_coefficient
from vae_lightning.config import checked
from vae_lightning.errors import Code, UserError
from vae_lightning.evaluation import (
    OWN,
    RESIDUAL_SAMPLES,
    Effort,
    Evaluator,
    Metric,
    check_keys,
    forecast_of,
    metric_of,
)
from vae_lightning.files import write_json
from vae_lightning.module import VAE
from vae_lightning.runs import directory
from vae_lightning.runs.checkpoints import load_checkpoint
from vae_lightning.runs.curves import falling_of
from vae_lightning.runs.results import Results
from vae_lightning.runs.run_config import RunConfig
from vae_lightning.runs.saved_config import check_fingerprint, check_origins
from vae_lightning.runs.summaries import print_evaluation
from vae_lightning.runs.trainer import last_step, precision_plugins, quieten_lightning
from vae_lightning.runs.upgrade import upgraded
from vae_lightning.terminal import print_line

IMAGES_AT_ONCE = 100
"""So that the progress bar moves; it changes no result."""


def evaluate(
    run_directory: Path,
    n_importance_samples: int,
    data_dir: str | None,
    allowed: Sequence[str],
    console: Console,
    metrics: Sequence[str] = (),
) -> Results:
    """Evaluate a run and return what was found; write it down and draw it.

    Args:
        run_directory: finished, or not.
        n_importance_samples: K of log p(x), for each image.
        data_dir: where the data lie now; None: where the run found them.
        allowed: packages whose classes the run's config may name, beside our own.
        console: what is printed goes there.
        metrics: full names of functions that are metrics, beside those of the run's config.

    Raises:
        UserError: there is no run, no checkpoint, or one that is damaged, is of another model, or would run code; or
            its config was edited, or names a class outside this project and the ``allowed`` packages; or one of the
            ``metrics`` cannot be had.
    """
    if n_importance_samples < 1:
        message = f"--samples {n_importance_samples}: log p(x) needs at least 1 importance sample per image"
        raise UserError(message, Code.INVALID, ("--samples",))
    own = [metric_named(name) for name in metrics]
    config = _config_of(run_directory, data_dir, allowed)
    own += build_metrics(config)
    check_keys(own, OWN)
    earlier = directory.read_results(run_directory)
    checkpoint_path = directory.newest_checkpoint(run_directory)
    if checkpoint_path is None:
        why = "it is finished, so they were removed" if earlier else "it has not finished an epoch yet"
        message = f"{run_directory}: no checkpoint in {directory.CHECKPOINTS}/; {why}"
        raise UserError(message, Code.NOT_FOUND, (run_directory / directory.CHECKPOINTS,))
    checkpoint = load_checkpoint(checkpoint_path)
    quieten_lightning()
    data = build_data(config)
    data.evaluation_batch_size = IMAGES_AT_ONCE
    model = build_model(config, data.image_shape)
    _restore(model, checkpoint["state_dict"], checkpoint_path)
    print_line(console, f"evaluating {checkpoint_path} on {len(data.splits['test'].pixels):,} test images")
    last = last_step(config, data)
    kl_weight = model.kl_weight_in_force_at(last._replace(step=min(checkpoint["global_step"] - 1, last.step)))
    effort = Effort(n_importance_samples, RESIDUAL_SAMPLES[True], thorough=True)
    falling = falling_of(run_directory, kl_weight, kl_coefficient(model.objective, kl_weight))
    evaluation = Evaluator(model, data, kl_weight, effort, forecast_of(model, data), own, falling)
    _tester(config, run_directory).test(evaluation, datamodule=data, verbose=False)
    at = {"epochs": checkpoint["epoch"] + 1, "steps": checkpoint["global_step"], "kl_weight_at_the_end": kl_weight}
    about = {"latent_dim": model.latent_dim}
    results = Results({**about, **(earlier or at), **evaluation.results})
    results["columns"] = _joined((earlier or Results()).get("columns", []), evaluation.results.get("columns", []))
    written = run_directory / (directory.RESULTS if earlier else directory.EVALUATION)
    write_json(written, results)
    print_evaluation(console, results)
    if not earlier:
        print_line(console, f"not finished: this is after epoch {at['epochs']} of {config.trainer['max_epochs']}")
    print_line(console, f"written into {written}; figures in {run_directory / directory.FIGURES}")
    return results


def metric_named(name: str) -> Metric:
    """Return the metric of a full name. Raises UserError where it is no function that can be imported."""
    try:
        function = pkgutil.resolve_name(name)
    except Exception as error:
        message = f"--metric {name}: cannot be imported ({error})"
        raise UserError(message, Code.CANNOT_BUILD, ("--metric", name)) from error
    if not callable(function) or "." not in name:
        message = f"--metric {name}: not a function; name one as my_package.my_metric"
        raise UserError(message, Code.CANNOT_BUILD, ("--metric", name))
    return metric_of(function, name.rpartition(".")[2])


def _tester(config: RunConfig, run_directory: Path) -> Trainer:
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    return Trainer(
        accelerator=accelerator,
        devices=1,
        plugins=precision_plugins(accelerator, config.trainer["precision"]),
        logger=False,
        callbacks=[RunFigures(run_directory), RichProgressBar()],
        limit_test_batches=None,
        enable_checkpointing=False,
        enable_model_summary=False,
    )


def _joined(earlier: list[dict[str, str]], now: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return how metrics from outside are shown: those of an earlier evaluation keep their values and columns."""
    return list({column["name"]: column for column in (*earlier, *now)}.values())


def _config_of(run_directory: Path, data_dir: str | None, allowed: Sequence[str]) -> RunConfig:
    """Return the run's own config, with its data where they lie now."""
    if not (run_directory / directory.CONFIG).is_file():
        below = sorted(path.parent.name for path in run_directory.glob(f"*/{directory.CONFIG}"))
        above = next((parent for parent in run_directory.parents if (parent / directory.CONFIG).is_file()), None)
        hint = f"; it holds runs: name one, as {below[0]}, or {run_directory}/*" if below else ""
        hint = f"; did you mean {above}?" if above else hint
        message = f"{run_directory}: not a run directory (it has no {directory.CONFIG}){hint}"
        raise UserError(message, Code.NOT_FOUND, (run_directory,))
    saved = upgraded(directory.read_config(run_directory))
    source = saved.get("data", {}).get("source", {})
    if data_dir and "data_dir" in source:
        source["data_dir"] = data_dir
    try:
        check_origins(saved, allowed)
        config = checked({key: value for key, value in saved.items() if key != "run"})
    except UserError as error:
        path = run_directory / directory.CONFIG
        raise UserError(f"{path}: cannot be built\n{error}", error.code, (path, *error.about)) from error
    check_fingerprint(run_directory, saved)
    return config


def _restore(model: VAE, state: dict[str, Any], path: Path) -> None:
    """Load weights. Raises UserError where they are of another model than the config beside them."""
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        _, first, *others = [line.strip() for line in str(error).splitlines()]
        more = f" (and {len(others)} more)" if others else ""
        raise UserError(
            f"{path}: of another model than {directory.CONFIG} beside it. {first}{more} "
            "Put back the config it was trained with, or train afresh by rerun=true.",
            Code.CHANGED,
            (path,),
        ) from error
