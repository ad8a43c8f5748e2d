"""A run directory -> every diagnostic of its newest checkpoint, in ``results.json``, as figures, and as a table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import RichProgressBar
from rich.console import Console

from vae_lightning.assemble import build_data, build_model
from vae_lightning.callbacks import RunFigures
from vae_lightning.combinations import has_weighted_kl
from vae_lightning.config import check_origins, checked
from vae_lightning.errors import Code, UserError
from vae_lightning.evaluation import Effort, Evaluator, forecast_of
from vae_lightning.files import write_json
from vae_lightning.module import VAE
from vae_lightning.report.evaluation_table import findings_page
from vae_lightning.report.forecast_table import forecast_results
from vae_lightning.runs import directory
from vae_lightning.runs.checkpoints import load_checkpoint
from vae_lightning.runs.length import last_step
from vae_lightning.runs.run_config import RunConfig
from vae_lightning.runs.saved_config import check_fingerprint
from vae_lightning.runs.trainer import precision_plugins, quieten_lightning
from vae_lightning.runs.upgrade import upgraded

RESIDUAL_SAMPLES = 8
IMAGES_AT_ONCE = 100
"""So that the progress bar moves; it changes no result."""


def evaluate(
    run_directory: Path, n_importance_samples: int, data_dir: str | None, allowed: Sequence[str], console: Console
) -> dict[str, Any]:
    """Examine a run and return what was found; write it down and draw it.

    Raises:
        UserError: there is no run, no checkpoint, or one that is damaged, is of another model, or would run code; or
            its config was edited, or names a class outside this project and the ``allowed`` packages.
    """
    if n_importance_samples < 1:
        raise UserError(f"--samples {n_importance_samples}: log p(x) needs at least 1 importance sample per image")
    config = _config_of(run_directory, data_dir, allowed)
    earlier = directory.read_results(run_directory)
    checkpoint_path = directory.newest_checkpoint(run_directory)
    if checkpoint_path is None:
        why = "it is finished, so they were removed" if earlier else "it has not finished an epoch yet"
        raise UserError(f"{run_directory}: no checkpoint in {directory.CHECKPOINTS}/; {why}")
    checkpoint = load_checkpoint(checkpoint_path)
    quieten_lightning()
    data = build_data(config)
    data.evaluation_batch_size = IMAGES_AT_ONCE
    model = build_model(config, data.image_shape)
    _restore(model, checkpoint["state_dict"], checkpoint_path)
    last = last_step(config, data)
    kl_weight = model.kl_weight_in_force_at(last._replace(step=min(checkpoint["global_step"] - 1, last.step)))
    effort = Effort(n_importance_samples, RESIDUAL_SAMPLES, thorough=True)
    evaluation = Evaluator(model, data, kl_weight, effort)
    model_forecast = forecast_of(model, data)
    figures = RunFigures(run_directory, model_forecast)
    console.print(f"examining {checkpoint_path} on {len(data.splits['test'].pixels):,} test images", soft_wrap=True)
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    trainer = Trainer(
        accelerator=accelerator,
        devices=1,
        plugins=precision_plugins(accelerator, config.trainer["precision"]),
        logger=False,
        callbacks=[figures, RichProgressBar()],
        limit_test_batches=None,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.test(evaluation, datamodule=data, verbose=False)
    assert evaluation.findings is not None  # noqa: S101 (the test pass has just been)
    foreseen = model_forecast if has_weighted_kl(model.objective, model.posterior) else None
    found = {**forecast_results(foreseen, kl_weight), **evaluation.findings.results(), **figures.kinds}
    written = run_directory / (directory.RESULTS if earlier else directory.EVALUATION)
    at = {"epochs": checkpoint["epoch"] + 1, "steps": checkpoint["global_step"], "kl_weight_at_the_end": kl_weight}
    results = {**(earlier or at), **found}
    write_json(written, results)
    console.print(findings_page(results))
    if not earlier:
        console.print(f"not finished: this is after epoch {checkpoint['epoch'] + 1} of {config.trainer['max_epochs']}")
    console.print(f"written into {written}; figures in {run_directory / directory.FIGURES}", soft_wrap=True)
    return results


def _config_of(run_directory: Path, data_dir: str | None, allowed: Sequence[str]) -> RunConfig:
    """Return the run's own config, with its data where they lie now."""
    if not (run_directory / directory.CONFIG).is_file():
        below = sorted(path.parent.name for path in run_directory.glob(f"*/{directory.CONFIG}"))
        above = next((parent for parent in run_directory.parents if (parent / directory.CONFIG).is_file()), None)
        hint = f"; it holds runs: name one, as {below[0]}, or {run_directory}/*" if below else ""
        hint = f"; did you mean {above}?" if above else hint
        raise UserError(
            f"{run_directory}: not a run directory (it has no {directory.CONFIG}){hint}", Code.MISSING, [run_directory]
        )
    path = run_directory / directory.CONFIG
    saved = upgraded(directory.read_config(run_directory))
    source = saved.get("data", {}).get("source", {})
    if data_dir and "data_dir" in source:
        source["data_dir"] = data_dir
    try:
        check_origins(saved, allowed)
        config = checked({key: value for key, value in saved.items() if key != "run"})
    except UserError as error:
        raise UserError(f"{path}: not the config of a run\n{error}", error.code, [path, *error.about]) from error
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
            "Put back the config it was trained with, or train afresh by rerun=true."
        ) from error
