"""The work of the bisect sweeper: a command line into searches, rounds of jobs through the launcher, the answer."""

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import torch
from hydra.core.override_parser.types import IntervalSweep, Override
from rich.console import Console

from vae_lightning.assemble import build_data, build_model
from vae_lightning.config import checked, settings_of
from vae_lightning.diagnostics import PosteriorMeanMoments, active_units
from vae_lightning.errors import Code, UserError
from vae_lightning.forecasting import critical_weights
from vae_lightning.runs import directory
from vae_lightning.runs.checkpoints import load_checkpoint
from vae_lightning.runs.run_config import RunConfig
from vae_lightning.sweeps.threshold_search import HIGHEST, LOWEST, BisectSettings, Search, searched, show

if TYPE_CHECKING:
    from hydra.plugins.launcher import Launcher

KEY = "kl_weight"
N_IMAGES = 10_000
"""The largest number of images by which units are counted; MNIST has as many for the test."""
Config = dict[str, Any]
Bracket = tuple[float, float]
Compose = Callable[[Sequence[str]], Config]
"""A function from overrides to a resolved config."""


def bisect(arguments: Sequence[Override], settings: dict[str, Any], compose: Compose, launcher: "Launcher") -> None:
    """Search for the KL weight in each combination of the other arguments' values, and print what was found.

    Raises UserError where there is no bracket to begin with, a job failed, or a search does not end.
    """
    chosen = settings_of(BisectSettings, settings, "hydra.sweeper.")
    searches = planned_searches(arguments, chosen, compose)
    done: list[tuple[str, ...]] = []

    def measure(jobs: Sequence[tuple[str, ...]]) -> list[int]:
        for job in launcher.launch(jobs, len(done)):
            _ = job.return_value  # raises where it failed
        done.extend(jobs)
        return [active_units_of_run(checked(compose(overrides))) for overrides in jobs]

    try:
        searched(searches, chosen, measure)
    finally:
        show(searches, chosen, Console())
    if failed := [search for search in searches if search.threshold is None]:
        lines = "\n".join(f"{' '.join(search.overrides)}: {search.outcome}" for search in failed)
        message = f"no KL weight found at which the number of active units falls below {chosen.units}:\n{lines}"
        raise UserError(message, Code.NOT_FOUND, [KEY])


def planned_searches(arguments: Sequence[Override], settings: BisectSettings, compose: Compose) -> list[Search]:
    """Return a search for each combination of values, with its forecast and its first bracket.

    Raises UserError where ``kl_weight`` has values of its own, or nothing says where to begin.
    """
    bracket = None
    values: list[list[str]] = []
    for override in arguments:
        key = override.get_key_element()
        if key == KEY:
            bracket = _bracket(override)
        elif override.is_sweep_override() and not override.is_discrete_sweep():
            message = f"{override.input_line}: bisect searches for {KEY} only; name values, as {key}=2,5"
            raise UserError(message, about=[key])
        elif override.is_discrete_sweep():
            values.append([f"{key}={text}" for text in override.sweep_string_iterator()])
        else:
            values.append([override.input_line or ""])
    found = [_search(tuple(chosen), compose(chosen), bracket, settings) for chosen in product(*values)]
    if not found:
        raise UserError("hydra/sweeper=bisect: no values to search in", Code.MISSING, ["hydra/sweeper"])
    return found


def _bracket(override: Override) -> Bracket:
    value = override.value()
    if isinstance(value, IntervalSweep) and isinstance(value.start, int | float) and isinstance(value.end, int | float):
        low, high = float(value.start), float(value.end)
        if LOWEST <= low < high <= HIGHEST:
            return low, high
    where = f"{KEY}=interval(5,20) says where, between {LOWEST:g} and {HIGHEST:g}"
    raise UserError(f"{override.input_line}: bisect itself looks for {KEY}; {where}", about=[KEY])


def _search(overrides: tuple[str, ...], config: Config, bracket: Bracket | None, settings: BisectSettings) -> Search:
    run = checked(config)
    if settings.units > run.latent_dim:
        message = f"hydra.sweeper.units={settings.units}: the model has latent_dim={run.latent_dim} units"
        raise UserError(message, Code.INCOMPATIBLE, ("hydra.sweeper.units", "latent_dim"))
    try:
        weights = critical_weights(config)
    except UserError:  # these data have no forecast
        if bracket is None:
            raise
        weights = None
    forecast = weights[settings.units - 1] if weights and len(weights) >= settings.units else None
    forecast = forecast if forecast and math.isfinite(forecast) else None  # no weight kills it: of several codes
    if bracket is None:
        if not forecast:
            message = f"likelihood={run.likelihood.name}: no forecast to begin with; give {KEY}=interval(LOW,HIGH)"
            raise UserError(message, Code.INCOMPATIBLE, ["likelihood", KEY])
        bracket = (forecast / settings.around, forecast * settings.around)
    return Search(overrides, forecast, bracket)


@torch.no_grad()
def active_units_of_run(config: RunConfig) -> int:
    """Count the active units of a finished run on images held out, or on training images where none are held out.

    Raises UserError where its checkpoint is not there or is damaged.
    """
    folder = config.directory
    checkpoint = directory.newest_checkpoint(folder)
    if checkpoint is None:
        message = f"{folder}: bisect counts active units by the last checkpoint, which is not there; rerun=true"
        raise UserError(message, Code.NOT_FOUND, [folder])
    data = build_data(config)
    model = build_model(config, data.image_shape).eval()
    model.load_state_dict(load_checkpoint(checkpoint)["state_dict"])
    means = PosteriorMeanMoments(model.latent_dim)
    for pixels in data.images_to_judge_by(N_IMAGES).split(data.evaluation_batch_size):
        means.update(model.encode(pixels).mean)
    return active_units(means.compute().variance)
