"""``vae-forecast [key=value ...]``: which latent directions the KL weight will kill, before any training."""

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_lightning.cli.run_command import parser_for, run_command
from vae_lightning.composing import composed
from vae_lightning.errors import Code, UserError
from vae_lightning.spelling import did_you_mean

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

    from vae_lightning.theory import Loss

N_POINTS = 25
"""Points of an interval of KL weights, evenly on a log scale."""
EXAMPLES = """
  vae-forecast kl_weight=5 latent_dim=10
  vae-forecast kl_weight=0.1,1,10,100                   the curve, as a table and in forecast.png
  vae-forecast 'kl_weight=interval(0.1,100)'            the same over a range
  vae-forecast likelihood=gaussian,bernoulli 'kl_weight=interval(1,50)'
  vae-forecast data=array data.path=x.npy loss=mse_mean kl_weight=1      the loss as other code writes it: mse_sum,
                                   half_mse_sum, mse_mean, bce_sum, bce_mean; loss.kl=mean where the KL is averaged
"""


def main() -> None:
    run_command(forecast)


def forecast() -> None:
    """Compose the configs that the overrides ask for and print their forecasts."""
    parser, told = parser_for(__doc__, EXAMPLES), "as for vae-train; several values give curves"
    parser.add_argument("overrides", nargs="*", metavar="key=value", help=told)
    told = "accepted as in vae-train; several values do not need it"
    parser.add_argument("-m", "--multirun", action="store_true", help=told)
    parser.add_argument("--figure", type=Path, help="where the curve is drawn (default forecast.png)")
    told = "also say at which KL weight so many units live"
    parser.add_argument("--active-units", type=int, metavar="N", help=told)
    told = "a folder of configs of your own, as in vae-train"
    parser.add_argument("--config-dir", "-cd", type=Path, help=told)
    options = parser.parse_intermixed_args()
    if options.config_dir and not options.config_dir.is_dir():
        message = f"--config-dir {options.config_dir}: not a folder"
        raise UserError(message, Code.MISSING, ["--config-dir", options.config_dir])
    overrides, loss = without_loss(options.overrides)
    configs = configs_of(overrides, options.config_dir)

    from rich.console import Console

    from vae_lightning.forecasting import forecast_configs

    forecast_configs(configs, options.figure, Console(markup=False, highlight=False), options.active_units, loss)


def without_loss(overrides: list[str]) -> tuple[list[str], "Loss | None"]:
    """Return the overrides with the likelihood that ``loss=NAME`` is in its place, and that loss.

    ``loss.kl=mean`` and the other arguments of :func:`vae_lightning.from_loss` may stand beside it.
    """
    said = dict(word.split("=", 1) for word in overrides if word.startswith(("loss=", "loss.")) and "=" in word)
    if not said:
        return overrides, None
    rest = [word for word in overrides if not word.startswith(("loss=", "loss."))]
    if taken := [word for word in rest if word.startswith("likelihood")]:
        message = f"{taken[0]}: loss= says the likelihood already; leave one of them out"
        raise UserError(message, Code.INCOMPATIBLE, ["likelihood", "loss"])
    if "loss" not in said:
        raise UserError(f"{next(iter(said))}: needs loss=, as loss=mse_mean", Code.MISSING, ["loss"])

    from vae_lightning.theory.conventions import from_loss

    arguments: dict[str, Any] = {key.removeprefix("loss."): value for key, value in said.items() if key != "loss"}
    options = inspect.signature(from_loss).parameters.keys() - {"reconstruction", "weight"}
    if unknown := sorted(arguments.keys() - options):
        message = f"loss.{unknown[0]}: not a known key; {did_you_mean(unknown[0], options)}"
        raise UserError(message, Code.UNKNOWN_KEY, [f"loss.{unknown[0]}"])
    if "batch_size" in arguments and arguments["batch_size"].isdecimal():
        arguments["batch_size"] = int(arguments["batch_size"])
    loss = from_loss(said["loss"], **arguments)  # type: ignore[arg-type]  # it is checked there
    variance = loss.likelihood.variance
    gaussian = ["likelihood=gaussian", f"likelihood.variance={variance}", "likelihood.mean=identity"]
    return [*rest, *(["likelihood=bernoulli"] if variance is None else gaussian)], loss


def configs_of(overrides: list[str], also: Path | None = None) -> list[dict[str, Any]]:
    """Return the resolved config of every combination of the overrides' values, by options also of another folder."""
    from itertools import product

    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(overrides)
    return [
        composed(chosen, derive=False, also=also) for chosen in product(*(_values(override) for override in parsed))
    ]


def _values(override: "Override") -> list[str]:
    """Return an override once for each of its values."""
    from hydra.core.override_parser.types import IntervalSweep

    if not override.is_sweep_override():
        return [override.input_line or ""]
    key = override.get_key_element()
    value = override.value()
    if not isinstance(value, IntervalSweep):
        return [f"{key}={text}" for text in override.sweep_string_iterator()]
    start, end = value.start, value.end
    if start is None or end is None or not 0 < start < end:
        raise UserError(f"{override.input_line}: an interval needs 0 < start < end", Code.INVALID, [key])
    ratio = (end / start) ** (1 / (N_POINTS - 1))
    return [f"{key}={start * ratio**index:.4g}" for index in range(N_POINTS)]
