"""Config -> which latent directions its KL weight will kill, before any training."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console, RenderableType

from vae_lightning import assemble, theory
from vae_lightning.combinations import (
    AnySchedule,
    ceiling_price,
    check_together,
    has_weighted_kl,
    pixel_conflicts,
    under_objective,
    why_units_live,
)
from vae_lightning.config import checked
from vae_lightning.data.loader import BATCHES_AT_ONCE
from vae_lightning.data.loader import n_batches as n_batches_of
from vae_lightning.data.node import DATA_MODULE, nested, typed_key
from vae_lightning.data.scale import IN_WORDS, Scale
from vae_lightning.data.splits import Images
from vae_lightning.distributions import Likelihood, PosteriorFamily
from vae_lightning.errors import Code, UserError
from vae_lightning.objectives import Objective
from vae_lightning.report.forecast_table import forecast_curve_table, forecast_page
from vae_lightning.runs.run_config import RunConfig
from vae_lightning.runs.summaries import ceiling_text
from vae_lightning.schedules import has_feedback
from vae_lightning.theory import Convention, Forecast, Loss, LossInNats, NoForecast
from vae_lightning.theory.linear_vae import growth_rate
from vae_lightning.training_step import TrainingStep

DPI = 110
NEAR = 1.25
"""Times the KL weight: a critical weight below it is near."""
READ = ("data", "likelihood", "posterior", "objective", "estimator", "beta_schedule")
"""The parts that a forecast asks."""
Curve = tuple[str, Forecast, list[float]]
"""A name, and of which KL weights to show what of the forecast."""


class Asked(NamedTuple):
    """A checked config, and what of it the forecast's data do not know."""

    config: RunConfig
    batch_size: int
    drop_last: bool


class Foretold(NamedTuple):
    """What is known of a run before it."""

    found: Forecast | NoForecast
    images: Images
    scale: Scale
    likelihood: Likelihood
    multiplier: float
    """Of the weight that is typed, in nats at the end of the run's beta schedule."""
    loss: LossInNats | None
    """What the weight that is typed is of; None: of a loss in nats."""
    price: Callable[[float], float | None]
    """What divides the KL's ceiling at a KL weight in force."""
    least_kl: float
    notes: list[str]
    undecided: str | None
    """Why no KL weight decides how many units live; None where it does."""


def forecast_configs(
    configs: Sequence[dict[str, Any]],
    figure: Path | None,
    console: Console,
    active_units: int | None = None,
    loss: Loss | None = None,
) -> None:
    """Print the forecast of each config; of configs that differ in the KL weight alone, the curve, and draw it.

    With ``active_units`` the KL weight at which so many units live is told as well; with ``loss`` KL weights are those
    that other code writes into it.

    Raises UserError where a config is wrong, or nothing can be foretold of it.
    """
    asked = [_asked(config) for config in configs]
    path = figure or Path("forecast.png")
    if not path.parent.is_dir():
        raise UserError(f"--figure {path}: there is no folder {path.parent}", Code.MISSING, [path.parent])
    curves: list[Curve] = []
    missing: list[str] = []
    for same in _but_for_the_weight(asked):
        first, weights = same[0].config, sorted({float(one.config.kl_weight) for one in same})
        foretold = _foretold(same[0], loss)
        found = foretold.found
        binarize = first.data["binarize"]
        binarised = [] if binarize == "none" else [f"({binarize} binarisation)"]
        name = " ".join((first.data.name, first.likelihood.name, *binarised))
        if isinstance(found, NoForecast):
            missing.append(f"likelihood={first.likelihood.name}: no forecast; {found.reason}")
            continue
        in_force = [weight * foretold.multiplier for weight in weights]
        if len(weights) > 1:
            console.print(f"{name}, latent {first.latent_dim}")
            if foretold.loss is not None:
                console.print(f"your loss: {foretold.loss.loss}; kl_weight = {foretold.loss.factor:g} w in nats")
            console.print(forecast_curve_table(found, in_force, [_ceiling(foretold, weight) for weight in in_force]))
            curves.append((name, found, in_force))
        else:
            console.print(_page(foretold, found, first, name, weights[0], in_force[0]))
        if active_units is not None:
            console.print(_weight_for(foretold, found, active_units), soft_wrap=True)
    if curves:
        _draw(curves, path)
        console.print(f"drawn into {path}", soft_wrap=True)
    elif figure:
        console.print(f"--figure {figure}: nothing drawn; a curve needs several KL weights", soft_wrap=True)
    if missing:
        raise UserError("\n".join(missing), Code.INCOMPATIBLE, ["likelihood"])


def _page(
    foretold: Foretold, found: Forecast, config: RunConfig, name: str, kl_weight: float, in_force: float
) -> RenderableType:
    n_pixels = foretold.images.pixels[0].numel()
    elsewhere = _elsewhere(foretold.likelihood, in_force, n_pixels, config.latent_dim)
    shape = "x".join(map(str, foretold.images.pixels.shape[1:]))
    images = f"{len(foretold.images.pixels):,} training images of {shape}; {IN_WORDS[foretold.scale]}"
    in_nats = "in nats" if foretold.loss else "at the end"
    at_the_end = [(in_nats, f"{in_force:g} at the end, by beta_schedule={config.beta_schedule.name}")]
    rows = [
        *([("your loss", str(foretold.loss))] if foretold.loss else []),
        ("data", name),
        ("images", images),
        ("latent_dim", str(config.latent_dim)),
        ("kl_weight", f"{kl_weight:g}"),
        *(at_the_end if in_force != kl_weight else []),
        ("KL ceiling", _ceiling_text(foretold, in_force)),
        *_to_use(foretold, found),
        *(("note", note) for note in foretold.notes),
    ]
    return forecast_page("vae-forecast", found, in_force, elsewhere, rows)


def _to_use(foretold: Foretold, found: Forecast) -> Iterator[tuple[str, str]]:
    """Say which weights to write into a loss as other code writes it."""
    if foretold.loss is None:
        return
    known = found.critical_weights[: found.latent_dim]
    first, last = (float(weight) / foretold.multiplier for weight in (known[0], known[-1]))
    if first > 0:
        all_of_them = f"; all {len(known)} below {last:.4g}" if last > 0 and len(known) > 1 else ""
        yield "weight to use", f"in your loss: a first unit lives below {first:.4g}{all_of_them}"


def _ceiling(foretold: Foretold, in_force: float) -> float | None:
    price, found = foretold.price(in_force), foretold.found
    if price is None or isinstance(found, NoForecast) or found.greatest_gain is None:
        return None
    return found.greatest_gain.value / price + foretold.least_kl


def _ceiling_text(foretold: Foretold, in_force: float) -> str:
    return ceiling_text(foretold.found, foretold.price(in_force), foretold.least_kl)


def _weight_for(foretold: Foretold, found: Forecast, active_units: int) -> str:
    """Return at which KL weights so many units live. Raises UserError where there are none, or none decides it."""
    if foretold.undecided:
        raise UserError(f"--active-units: {foretold.undecided}", Code.INCOMPATIBLE, ["--active-units"])
    multiplier = foretold.multiplier
    try:
        below, above = found.kl_weights_for(active_units)
    except ValueError as error:
        raise UserError(f"--active-units: {error}", Code.INVALID, ["--active-units"]) from error
    middle = f", as {math.sqrt(below * above) / multiplier:.4g}" if 0 < below < above < math.inf else ""
    least, most = below / multiplier, above / multiplier
    where = " in your loss" if foretold.loss else ""
    return f"{active_units} units live at a kl_weight{where} from {least:.4g} to {most:.4g}{middle}"


def _why_undecided(objective: Objective, posterior: PosteriorFamily, schedule: AnySchedule) -> str | None:
    if not has_weighted_kl(objective, posterior):
        return "there is no KL in this loss"
    return why_units_live(objective, posterior) or (
        "a controller will move the KL weight" if has_feedback(schedule) else None
    )


def _slow(found: Forecast, in_force: float, learning_rate: float | None) -> str | None:
    """Say how slowly the last living direction grows, where it is near its threshold and the linear model tells."""
    living = found.active_units(in_force)
    if not living or not in_force or found.eigenvalues is None or found.variance is None or not learning_rate:
        return None
    last = float(found.critical_weights[living - 1])
    rate = growth_rate(float(found.eigenvalues[living - 1]), in_force, found.variance)
    if last > NEAR * in_force or rate <= 0:
        return None
    told = f"unit {living} lives below {last:.4g}, near the weight here: it grows slowly, in a linear model e-fold in"
    return f"{told} {1 / (rate * learning_rate):,.0f} steps of plain gradient descent at this learning rate"


def _notes(
    config: RunConfig,
    objective: Objective,
    posterior: PosteriorFamily,
    schedule: AnySchedule,
    found: Forecast,
    in_force: float,
) -> Iterator[str]:
    """Say what the numbers are not of."""
    if not has_weighted_kl(objective, posterior):
        yield "there is no KL in this loss: this is of a plain VAE"
    elif reason := why_units_live(objective, posterior):
        yield f"{reason}; this is of a plain VAE"
    elif not posterior.is_gaussian:
        yield f"posterior={config.posterior.name}: the weights are right to second order; the KL is its own"
    if objective.importance_weighted and objective.n_samples > 1:
        yield "no weight stops a decoder from reading directions that live below kl_weight inf; their KL may stay 0"
    if slow := _slow(found, in_force, config.optimizer.model_dump().get("lr")):
        yield slow
    if has_feedback(schedule):
        yield "a controller will move the KL weight; the forecast is of the weight given here"
    if found.unpriced:
        yield f"undecided: {found.unpriced} changes of pixels' values would pay at any weight to second order"


def _draw(curves: Sequence[Curve], path: Path) -> None:
    from vae_lightning.plots import forecast_curves

    every = [weight for _, _, weights in curves for weight in weights if weight > 0]
    reach = np.geomspace(min(every), max(every), 1000).tolist()
    living = [(name, [found.active_units(weight) for weight in reach]) for name, found, _ in curves]
    forecast_curves(living, reach).savefig(path, dpi=DPI)


def critical_weights(config: dict[str, Any]) -> list[float] | None:
    """Return the KL weights below which the units of a composed config can live, the largest first; None where no
    forecast is known."""
    found = _foretold(_asked(config)).found
    return None if isinstance(found, NoForecast) else found.critical_weights[: found.latent_dim].tolist()


def _foretold(asked: Asked, loss: Loss | None = None) -> Foretold:
    """Return what is known of a run of a checked config before it."""
    config = asked.config
    (splits, scale), likelihood = assemble.build_splits(config), assemble.build_likelihood(config)
    training, binarize = splits["train"], config.data["binarize"]
    check_together(pixel_conflicts(likelihood, scale, binarize, splits))
    objective, posterior = assemble.build_objective(config), assemble.build_posterior(config)
    schedule = assemble.build_beta_schedule(config)
    found = theory.forecast(theory.pixel_moments(training, binarize), likelihood, config.latent_dim)
    found = under_objective(found, objective)
    n_batches = n_batches_of(len(training.pixels), asked.batch_size, asked.drop_last)
    if config.smoke:
        n_batches = min(n_batches, BATCHES_AT_ONCE)
    total = n_batches * (1 if config.smoke else int(config.trainer["max_epochs"]))
    multiplier = 1.0 if has_feedback(schedule) else float(schedule(TrainingStep(total - 1, total, n_batches)))
    weighed = None if loss is None else loss._replace(weight=config.kl_weight)
    read = None if weighed is None else weighed.in_nats(training.pixels[0].numel(), config.latent_dim)
    multiplier *= 1.0 if read is None else read.factor
    parts = (objective, posterior, schedule)
    known = [] if isinstance(found, NoForecast) else _notes(config, *parts, found, config.kl_weight * multiplier)
    return Foretold(
        found,
        training,
        scale,
        likelihood,
        multiplier,
        read,
        lambda in_force: ceiling_price(*parts, in_force),
        config.latent_dim * posterior.least_kl_per_unit,
        list(known),
        _why_undecided(*parts),
    )


def _asked(config: dict[str, Any]) -> Asked:
    data = nested(config["data"])
    return Asked(_checked(config), data.get("batch_size", 1), data.get("drop_last", False))


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


def _but_for_the_weight(asked: Sequence[Asked]) -> list[list[Asked]]:
    """Group configs that differ in nothing but the KL weight."""
    groups: dict[str, list[Asked]] = {}
    for one in asked:
        alike = [one.config.changed(kl_weight=0.0).plain(), *one[1:]]
        groups.setdefault(json.dumps(alike, sort_keys=True), []).append(one)
    return list(groups.values())


def _elsewhere(likelihood: Likelihood, kl_weight: float, n_pixels: int, latent_dim: int) -> list[Convention]:
    """Return how this training reads in the losses of other code, where it has a name there."""
    if likelihood.loss_elsewhere == "squared_error" and likelihood.variance is not None:
        return theory.gaussian_conventions(kl_weight, likelihood.variance, n_pixels, latent_dim)
    if likelihood.loss_elsewhere == "cross_entropy":
        return theory.bernoulli_conventions(kl_weight, n_pixels, latent_dim)
    return []
