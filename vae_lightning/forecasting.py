"""Config -> which latent directions its KL weight will kill, before any training."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from vae_lightning import assemble, theory
from vae_lightning.combinations import check_together, is_weighted_elbo, pixel_conflicts
from vae_lightning.config import checked
from vae_lightning.data.node import DATA_MODULE, nested, typed_key
from vae_lightning.data.scale import IN_WORDS, Scale
from vae_lightning.data.splits import Images
from vae_lightning.distributions import Likelihood
from vae_lightning.errors import Code, UserError
from vae_lightning.report.forecast_table import forecast_curve_table, forecast_page
from vae_lightning.runs.run_config import RunConfig
from vae_lightning.runs.summaries import NO_FORECAST
from vae_lightning.schedules import has_feedback
from vae_lightning.theory import Convention, Forecast

DPI = 110
READ = ("data", "likelihood", "posterior", "objective", "estimator", "beta_schedule")
"""The parts that a forecast asks."""
Curve = tuple[str, Forecast, list[float]]
"""A name, and of which KL weights to show what of the forecast."""


def forecast_configs(configs: Sequence[dict[str, Any]], figure: Path | None, console: Console) -> None:
    """Print the forecast of each config; of configs that differ in the KL weight alone, the curve, and draw it.

    Raises UserError where a config is wrong, or its likelihood has no forecast.
    """
    checked_configs = [_checked(config) for config in configs]
    path = figure or Path("forecast.png")
    if not path.parent.is_dir():
        raise UserError(f"--figure {path}: there is no folder {path.parent}", Code.MISSING, [path.parent])
    curves: list[Curve] = []
    missing: list[str] = []
    for same in _but_for_the_weight(checked_configs):
        first, weights = same[0], sorted({float(config.kl_weight) for config in same})
        found, training, scale, likelihood = _forecast(first)
        binarize = first.data["binarize"]
        binarised = [] if binarize == "none" else [f"({binarize} binarisation)"]
        name = " ".join((first.data.name, first.likelihood.name, *binarised))
        if found is None:
            missing.append(f"likelihood={first.likelihood.name}: no forecast; {NO_FORECAST}")
        elif len(weights) > 1:
            console.print(f"{name}, latent {first.latent_dim}")
            console.print(forecast_curve_table(found, weights))
            curves.append((name, found, weights))
        else:
            elsewhere = _elsewhere(likelihood, weights[0], training.pixels[0].numel(), first.latent_dim)
            shape = "x".join(map(str, training.pixels.shape[1:]))
            images = f"{len(training.pixels):,} training images of {shape}; {IN_WORDS[scale]}"
            rows = [
                ("data", name),
                ("images", images),
                ("latent_dim", str(first.latent_dim)),
                *(("note", note) for note in _notes(first)),
            ]
            console.print(forecast_page("vae-forecast", found, weights[0], elsewhere, rows))
    if curves:
        _draw(curves, path)
        console.print(f"drawn into {path}", soft_wrap=True)
    elif figure:
        console.print(f"--figure {figure}: nothing drawn; a curve needs several KL weights", soft_wrap=True)
    if missing:
        raise UserError("\n".join(missing), Code.INCOMPATIBLE, ["likelihood"])


def _notes(config: RunConfig) -> Iterator[str]:
    """Say what the run has that the forecast does not know."""
    if not is_weighted_elbo(assemble.build_objective(config), assemble.build_posterior(config)):
        parts = f"objective={config.objective.name} posterior={config.posterior.name}"
        yield f"this is of a plain VAE; {parts} may keep others"
    if has_feedback(assemble.build_beta_schedule(config)):
        yield "a controller will move the KL weight; the forecast is of the weight given here"


def _draw(curves: Sequence[Curve], path: Path) -> None:
    from vae_lightning.plots import forecast_curves

    every = [weight for _, _, weights in curves for weight in weights if weight > 0]
    reach = np.geomspace(min(every), max(every), 1000).tolist()
    living = [(name, [found.active_units(weight) for weight in reach]) for name, found, _ in curves]
    forecast_curves(living, reach).savefig(path, dpi=DPI)


def critical_weights(config: dict[str, Any]) -> list[float] | None:
    """Return the KL weights below which the units of a composed config can live, the largest first; None where no
    forecast is known."""
    found, *_ = _forecast(_checked(config))
    return None if found is None else found.critical_weights[: found.latent_dim].tolist()


def _forecast(config: RunConfig) -> tuple[Forecast | None, Images, Scale, Likelihood]:
    """Return the forecast of a checked config, the training images that it is of, what their values mean, and the
    likelihood."""
    (splits, scale), likelihood = assemble.build_splits(config), assemble.build_likelihood(config)
    training, binarize = splits["train"], config.data["binarize"]
    check_together(pixel_conflicts(likelihood, scale, binarize, splits))
    found = theory.forecast(theory.pixel_moments(training, binarize), likelihood, config.latent_dim)
    return found, training, scale, likelihood


def _checked(config: dict[str, Any]) -> RunConfig:
    """Return a config checked as far as a forecast reads it; what is wrong is told by the keys as they were typed."""
    try:
        return checked(_without_batches(config), parts=READ)
    except UserError as error:
        about = [typed_key(key, config["data"]) for key in error.about]
        message = str(error)
        for key, typed in zip(error.about, about, strict=True):
            message = message.replace(key, typed)
        raise UserError(message, error.code, about) from error


def _without_batches(config: dict[str, Any]) -> dict[str, Any]:
    """Name the data's splits instead of the data module that serves them, which needs Lightning and its seconds."""
    data = nested(config["data"])
    if data["_target_"] != DATA_MODULE:
        reason = f"data._target_={data['_target_']}: a forecast reads the data of {DATA_MODULE} only"
        raise UserError(reason, Code.INCOMPATIBLE, ["data._target_"])
    keys = ("name", "source", "validation_size", "binarize", "scale")
    kept = {key: data[key] for key in keys if key in data}
    return {**config, "data": {"_target_": "vae_lightning.data.prepared_splits", **kept}}


def _but_for_the_weight(configs: Sequence[RunConfig]) -> list[list[RunConfig]]:
    """Group configs that differ in nothing but the KL weight."""
    groups: dict[str, list[RunConfig]] = {}
    for config in configs:
        groups.setdefault(json.dumps(config.changed(kl_weight=0.0).plain(), sort_keys=True), []).append(config)
    return list(groups.values())


def _elsewhere(likelihood: Likelihood, kl_weight: float, n_pixels: int, latent_dim: int) -> list[Convention]:
    """Return how this training reads in the losses of other code, where it has a name there."""
    if likelihood.loss_elsewhere == "squared_error" and likelihood.variance is not None:
        return theory.gaussian_conventions(kl_weight, likelihood.variance, n_pixels, latent_dim)
    if likelihood.loss_elsewhere == "cross_entropy":
        return theory.bernoulli_conventions(kl_weight, n_pixels, latent_dim)
    return []
