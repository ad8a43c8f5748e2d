"""What a run found: one typed object, and the one specification of its columns that every view iterates over.

``results.json``, ``results.csv``, the summary in W&B, the tables on the terminal, the HTML page and the lab notebook
are views of it. Another value needs a metric in :mod:`vae_lightning.evaluation.metrics` and a column here.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from vae_lightning.runs.upgrade import with_current_targets

T = TypeVar("T")
NONE = "–"
"""Stands in tables where there is no value."""
UNITS_SHOWN = 8
ONE_IMAGE = 0.05
"""Output variance, as a share of the data's, below which the decoder's images are almost one."""

KL_WEIGHT, SEED, EPOCHS = "kl_weight", "seed", "epochs"
CRITICAL, CHOICES, RUN, STUDY = "kl_weight_times_variance", "choices", "run", "study"
ELBO, KL, DISTORTION, KL_PER_UNIT = "test/elbo", "test/kl", "test/distortion", "test/kl_per_unit"
ACTIVE_UNITS, ACTIVE_DIRECTIONS = "test/active_units", "test/active_directions"
LOG_PX, LOG_PX_SAMPLES = "test/log_px", "test/log_px_samples"
FORECAST_UNITS, FORECAST_KL, VERDICT = "forecast/active_units", "forecast/kl_per_unit", "verdict"
CRITICAL_WEIGHTS = "forecast/critical_weights"
KL_IF_LINEAR, KL_CEILING = "kl_if_linear", "forecast/kl_ceiling"
HAS_DENSITY, FORECAST_APPLIES = "facts/has_density", "facts/forecast_applies"
SCHEDULE_HAS_FEEDBACK, BOUND_IS_A_LIKELIHOOD = "facts/schedule_has_feedback", "facts/bound_is_a_likelihood"


class View(StrEnum):
    """Where a column is shown."""

    CSV = "results.csv"
    TABLE = "the table of runs on the terminal"
    SUMMARY = "what a run prints when it is finished"
    EVALUATION = "what vae-evaluate prints"
    PAGE = "the table of the HTML page"
    NOTEBOOK = "the table of a page of the lab notebook"
    MEANS = "its tables of means over seeds"
    WANDB = "the summary in W&B"


class Key(Generic[T]):
    """A typed property of :class:`Results`: the value under a key, None where it is not there."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, results: "Results", owner: type["Results"]) -> T:
        return cast(T, results.get(self.name))


class Results(dict[str, Any]):
    """What a finished run found, under the keys of ``results.json``."""

    run = Key[str](RUN)
    study = Key[str](STUDY)
    kl_weight = Key[float](KL_WEIGHT)
    kl_weight_at_the_end = Key[float]("kl_weight_at_the_end")
    critical_quantity = Key[float | None](CRITICAL)
    """The KL weight in force at the end times the decoder's variance as it ended: one quantity for every run.

    It is None where that does not decide what can live, and for a run that is not finished, which has neither yet.
    """
    latent_dim = Key[int]("latent_dim")
    seed = Key[int](SEED)
    epochs = Key[int](EPOCHS)
    steps = Key[int | None]("steps")
    seconds = Key[float]("seconds")
    fingerprint = Key[str | None]("fingerprint")
    command = Key[str | None]("command")
    settings = Key[dict[str, Any] | None]("settings")
    """What decides the result, each value under its full name; None from a version that did not write it."""
    versions = Key[dict[str, str] | None]("versions")
    elbo = Key[float | None](ELBO)
    kl = Key[float | None](KL)
    distortion = Key[float | None](DISTORTION)
    active_units = Key[int | None](ACTIVE_UNITS)
    kl_per_unit = Key[list[float] | None](KL_PER_UNIT)
    mean_of_mean = Key[list[float] | None]("test/mean_of_mean_per_unit")
    variance_of_mean = Key[list[float] | None]("test/variance_of_mean_per_unit")
    log_px = Key[float | None](LOG_PX)
    log_px_samples = Key[int | None](LOG_PX_SAMPLES)
    critical_weights = Key[list[float] | None](CRITICAL_WEIGHTS)
    forecast_kl_per_unit = Key[list[float] | None](FORECAST_KL)
    samples_per_class = Key[list[int] | None]("samples/count_per_class")
    manifold_per_class = Key[list[int] | None]("manifold/count_per_class")
    class_accuracy = Key[float | None]("kinds/accuracy_on_test_images")
    caveats = Key[list[str] | None]("caveats")
    """A sentence for each value that could not be had."""
    has_density = Key[bool](HAS_DENSITY)
    """Whether the posterior has a density, and with it a KL and a bound: an autoencoder's points have none."""
    forecast_applies = Key[bool](FORECAST_APPLIES)
    """Whether it is the model that forecasts are of: a Gaussian posterior, kl_weight times its whole KL."""
    schedule_has_feedback = Key[bool](SCHEDULE_HAS_FEEDBACK)
    """Whether the beta schedule ends at a KL weight of its own."""
    bound_is_a_likelihood = Key[bool](BOUND_IS_A_LIKELIHOOD)
    """Whether the ELBO bounds a log p(x): of grey pixels a Bernoulli has none, and its "ELBO" is a cross-entropy."""

    @classmethod
    def read(cls, content: Any) -> "Results":
        """Return what a ``results.json`` holds, as this version would have written it.

        Raises:
            ValueError: a value is of the wrong type, or it lacks what every run's results have.
        """
        try:
            _schema().model_validate(content)
        except ValidationError as error:
            faults = (f"{fault['loc'][-1] if fault['loc'] else ''}: {fault['msg']}" for fault in error.errors())
            raise ValueError("; ".join(faults)) from error
        required = (column.name for column in COLUMNS if column.required)
        if missing := [name for name in required if name not in content]:
            raise ValueError(f"missing: {', '.join(dict.fromkeys(missing))}")
        return cls(_upgraded(content))

    @property
    def kl_if_linear(self) -> float | None:
        """The KL that a linear model would have."""
        return None if self.forecast_kl_per_unit is None else sum(self.forecast_kl_per_unit)

    @property
    def has_forecast(self) -> bool:
        """Whether a version with forecasts made the run."""
        return CRITICAL_WEIGHTS in self

    @property
    def verdict_word(self) -> str:
        """The verdict in a word, or why there is none."""
        if VERDICT not in self:
            # By an earlier version, which vae-evaluate mends; or not finished.
            return "not examined" if "seconds" in self else NONE
        return self[VERDICT] or "no verdict"

    def text(self, name: str) -> str:
        """Return one value as tables show it."""
        return next(column for column in COLUMNS if column.name == name).text(self)

    def columns(self, view: View) -> list["Column"]:
        """Return the columns of a view, those of metrics from outside this package included."""
        return columns_of([self], view)

    def wandb_summary(self) -> dict[str, Any]:
        """Return what W&B shows of a run beside its config, name and command line, which it has already."""
        described = {column.name for column in COLUMNS if View.WANDB not in column.views}
        return {name: value for name, value in self.items() if value is not None and name not in described}


@dataclass(frozen=True)
class Column:
    """A value of a run as tables show it."""

    name: str
    """Its key in results.json."""
    label: str
    format: str = ""
    unit: str = ""
    meaning: str = ""
    """What it says, for those who meet it the first time."""
    type: Any = float
    required: bool = False
    per_unit: bool = False
    """Whether it has a value for each latent unit."""
    views: frozenset[View] = frozenset({View.WANDB})
    needs_density: bool = False
    """Whether an autoencoder has no such value, whatever number it is stored as."""
    derived: Callable[[Results], Any] | None = None
    """Computes a value that is not stored."""
    composed: Callable[[Results], str] | None = None
    """Says the value together with others that it needs to be understood."""

    def value(self, results: Results) -> Any:
        """Return the value, or None where there is none."""
        if self.needs_density and not results.get(HAS_DENSITY, True):
            return None
        return self.derived(results) if self.derived else results.get(self.name)

    def text(self, results: Results) -> str:
        """Return the value as text, a dash where there is none."""
        value = self.value(results)
        if self.composed and (value is not None or self.type is str):
            return self.composed(results)
        return self.formatted(value)

    def formatted(self, value: Any) -> str:
        """Return one value as text, a dash for None."""
        if value is None:
            return NONE
        if isinstance(value, list | tuple):
            return f"[{', '.join(map(self.formatted, value))}]"
        return format(value, self.format) if isinstance(value, int | float) else str(value)


def _active(results: Results) -> str:
    return f"{results.active_units}/{results.latent_dim}"


def _forecast(results: Results) -> str:
    return f"{results[FORECAST_UNITS]}{'' if results.forecast_applies else ' if plain'}"


def _on_new_data(results: Results) -> str:
    surely, perhaps = results["forecast/active_units_on_new_data"]
    return f"{surely}" if perhaps == surely else f"{surely}, {perhaps - surely} undecided"


def _with_error(name: str, digits: str, error_name: str) -> Callable[[Results], str]:
    def composed(results: Results) -> str:
        error = results.get(error_name)
        return format(results[name], digits) + (f" ± {error:.2g}" if error else "")

    return composed


def _verdict(results: Results) -> str:
    return results.verdict_word


def _margin(results: Results) -> str:
    error = results.get("verdict/margin_error")
    return f"{results['verdict/margin']:.2f}" + ("" if error is None else f" ± {error:.2f}")


def _log_px(results: Results) -> str:
    return f"L{results.log_px_samples} {results.log_px:.2f}"


def _log_px_by_samples(results: Results) -> str:
    listed = ", ".join(f"L{k} {value:.2f}" for k, value in results["test/log_px_by_samples"].items())
    error = results.get("test/log_px_error")
    return listed + ("" if error is None else f" ± {error:.2f}")


def _kl_per_unit(results: Results) -> str:
    units = sorted(results.kl_per_unit or [], reverse=True)
    return " ".join(f"{kl:.2f}" for kl in units[:UNITS_SHOWN]) + (" …" if len(units) > UNITS_SHOWN else "")


def _residual(results: Results) -> str:
    low, spectrum, error = (results.get(f"test/residual_{part}") for part in ("largest", "spectrum", "error"))
    spread = "" if error is None else f" ± {error:.2g}"
    at_most = f" (at most {spectrum[0]:.3g})" if spectrum and low is not None and spectrum[0] > low else ""
    return f"{low:.3g}{spread}{at_most}; the weight is {results.kl_weight_at_the_end:.4g}"


def _information(results: Results) -> str:
    lower, upper = results["test/mutual_information"]
    error = results.get("test/mutual_information_error")
    return f"[{lower:.2f}, {upper:.2f}]" + (f" ± {error:.2g}" if error else "")


def _completeness(results: Results) -> str:
    error = results.get("test/completeness_error")
    ratio = results.get("test/output_variance_ratio")
    one_image = " (says nothing: the decoder has almost one image)" if ratio is not None and ratio < ONE_IMAGE else ""
    return f"{results['test/completeness']:.3f}{f' ± {error:.2g}' if error else ''}{one_image}"


def _probe(results: Results) -> str:
    trained, untrained = results["test/probe_accuracy"], results.get("test/probe_accuracy_random_encoder")
    error = results.get("test/probe_accuracy_error")
    told = f"{trained:.1%}" + (f" ± {error:.1%}" if error else "")
    return told if untrained is None else f"{told}; {untrained:.1%} from an untrained encoder's"


MEANS = frozenset({View.MEANS})
EVERYWHERE = frozenset({View.CSV, View.TABLE, View.PAGE, View.NOTEBOOK, View.WANDB})
REPORTED = frozenset({View.CSV, View.PAGE, View.NOTEBOOK, View.WANDB})
LISTED = frozenset({View.CSV, View.WANDB})
EXAMINED = frozenset({View.EVALUATION, View.WANDB})
EVALUATED = frozenset({View.EVALUATION, View.CSV, View.WANDB})
ANYWHERE = frozenset(View) - MEANS
NOT_IN_WANDB = frozenset[View]()

COLUMNS: tuple[Column, ...] = (
    Column(RUN, "run", type=str, required=True, views=frozenset({View.CSV})),
    Column(STUDY, "study", type=str, required=True, views=NOT_IN_WANDB),
    Column("title", "title", type=str, views=NOT_IN_WANDB),
    Column("command", "command", type=str, views=NOT_IN_WANDB),
    Column("fingerprint", "id", type=str, views=NOT_IN_WANDB),
    Column("settings", "settings", type=dict[str, Any], views=NOT_IN_WANDB),
    Column("versions", "versions", type=dict[str, str], views=NOT_IN_WANDB),
    Column("verdict/sentence", "verdict", type=str, views=EXAMINED | {View.SUMMARY}),
    Column(KL_WEIGHT, "kl_weight", "g", required=True, views=EVERYWHERE),
    Column(CRITICAL, "kl_weight·σ²", ".4g", views=EVERYWHERE | {View.SUMMARY}),
    Column("kl_weight_at_the_end", "KL weight at the end", ".4g", views=frozenset({View.SUMMARY, View.WANDB})),
    Column(CHOICES, "choices", type=list[str], views=frozenset({View.CSV, View.PAGE, View.NOTEBOOK})),
    Column("latent_dim", "latent units", "d", type=int, required=True, views=LISTED),
    Column(SEED, "seed", "d", type=int, required=True, views=frozenset({View.CSV, View.PAGE, View.WANDB})),
    Column(ELBO, "ELBO", ".2f", "nats", required=True, needs_density=True, views=ANYWHERE | MEANS),
    Column(LOG_PX, "L_K", ".2f", "nats", views=frozenset({View.CSV, View.PAGE, View.WANDB}), needs_density=True,
           composed=_log_px),
    Column(LOG_PX_SAMPLES, "K of L_K", "d", type=int, views=LISTED),
    Column("test/log_px_by_samples", "log p(x)", type=dict[str, float], unit="nats", views=EXAMINED,
           meaning="bounds L_K by the number K of codes per image", composed=_log_px_by_samples),
    Column("test/kl_error", "error of the KL", ".3g", "nats", views=LISTED, needs_density=True),
    Column("test/distortion_error", "error of the distortion", ".3g", "nats", views=LISTED),
    Column("test/elbo_error", "error of the ELBO", ".3g", "nats", views=LISTED, needs_density=True),
    Column("test/kl_per_unit_error", "errors of the KL per unit", ".3g", "nats", type=list[float]),
    Column(KL, "KL", ".2f", "nats", required=True, needs_density=True, views=ANYWHERE | MEANS),
    Column(KL_IF_LINEAR, "KL if linear", ".2f", "nats", views=frozenset({View.CSV, View.NOTEBOOK}),
           derived=lambda results: results.kl_if_linear),
    Column(KL_PER_UNIT, "KL per unit (sorted)", ".3f", "nats", type=list[float], required=True, composed=_kl_per_unit,
           views=frozenset({View.NOTEBOOK, View.SUMMARY, View.WANDB})),
    Column(DISTORTION, "distortion", ".2f", "nats", required=True, views=ANYWHERE - {View.TABLE} | MEANS),
    Column(ACTIVE_UNITS, "active", ".3g", type=int, required=True, views=ANYWHERE | MEANS, composed=_active),
    Column(ACTIVE_DIRECTIONS, "directions", ".3g", type=int, views=ANYWHERE | MEANS,
           meaning="active ones, which the forecast counts"),
    Column("test/living_units", "living units", "d", type=int, views=EVALUATED,
           meaning="written by the encoder and read by the decoder"),
    Column(FORECAST_UNITS, "forecast", "d", type=int, views=ANYWHERE, composed=_forecast),
    Column("forecast/active_units_on_new_data", "forecast on new data", "d", type=list[int],
           views=EXAMINED | {View.SUMMARY}, composed=_on_new_data, meaning="of directions chosen on other images"),
    Column("forecast/critical_weights_on_new_data", "critical weights on new data", ".3g", type=list[float]),
    Column("forecast/critical_weights_error", "errors of those", ".2g", type=list[float]),
    Column(KL_CEILING, "KL ceiling", ".3g", "nats", views=EVALUATED | {View.SUMMARY},
           composed=_with_error(KL_CEILING, ".3g", "forecast/kl_ceiling_error"),
           meaning="what no optimum of this loss exceeds"),
    Column("forecast/kl_ceiling_error", "error of that", views=LISTED),
    Column("test/residual_largest", "one more unit", views=EVALUATED, composed=_residual,
           meaning="would pay below this KL weight"),
    Column("test/residual_error", "error of that", views=LISTED),
    Column(VERDICT, "verdict", type=str, views=EVERYWHERE, composed=_verdict),
    Column("verdict/nats", "nats at stake", ".2f", "nats", views=LISTED,
           composed=_with_error("verdict/nats", ".2f", "verdict/nats_error")),
    Column("verdict/nats_error", "error of that", ".2g", "nats", views=LISTED),
    Column("verdict/nats_at_most", "an ideally gated unit", ".2f", "nats", views=EVALUATED,
           meaning="could earn at most"),
    Column("verdict/margin", "margin", ".2f", views=frozenset({View.CSV, View.NOTEBOOK, View.WANDB}), composed=_margin),
    Column("test/mutual_information", "I(x; z)", ".2f", "nats", type=list[float], views=EXAMINED,
           composed=_information),
    Column("test/mutual_information_error", "error of either end", ".2g", "nats", views=LISTED),
    Column("test/mutual_information_ceiling", "its ceiling ln n", ".2f", "nats", views=EXAMINED),
    Column("test/marginal_kl", "KL(q(z) || p(z))", ".2f", "nats", type=list[float], views=EXAMINED),
    Column("test/frechet_distance_to_prior", "Frechet distance", ".4g", views=EVALUATED | {View.PAGE},
           meaning="of the codes' mean and covariance to the prior's, squared"),
    Column("test/output_variance_ratio", "output variance", ".3f", views=EXAMINED,
           meaning="of the data's, over codes from the prior"),
    Column("test/continuity", "continuity", ".3f", views=EXAMINED,
           meaning="how evenly images change along walks between test images"),
    Column("test/completeness", "completeness", ".3f", views=EXAMINED, composed=_completeness,
           meaning="of prior samples are as near the data as test images"),
    Column("test/completeness_error", "error of the completeness", ".2g"),
    Column("test/decoder_sensitivity_error", "errors of the decoder sensitivity", ".2g", type=list[float]),
    Column("test/probe_accuracy_error", "error of the linear probe", ".2g"),
    Column("test/probe_accuracy", "linear probe", ".1%", views=EXAMINED, composed=_probe,
           meaning="of classes right from the posterior means"),
    Column("test/variance_of_mean_per_unit", "Var of mean", ".4f", type=list[float], per_unit=True, views=EXAMINED),
    Column("test/decoder_sensitivity_per_unit", "decoder sensitivity", ".4g", type=list[float], per_unit=True,
           views=EXAMINED),
    Column(KL_PER_UNIT, "KL", ".3f", "nats", type=list[float], per_unit=True, views=EXAMINED, needs_density=True),
    Column("test/collapse_epsilon_per_unit", "collapsed above ε", ".3g", "nats", type=list[float], per_unit=True,
           views=EXAMINED, needs_density=True),
    Column("test/living_per_unit", "lives", type=list[bool], per_unit=True, views=EXAMINED),
    Column(EPOCHS, "epochs", "d", type=int, required=True, views=REPORTED | {View.SUMMARY}),
    Column("steps", "steps", "d", type=int, views=frozenset({View.SUMMARY, View.WANDB})),
    Column("seconds", "seconds", ".0f", required=True, views=REPORTED | {View.SUMMARY}),
    Column("machine", "machine", type=str, views=LISTED),
)  # fmt: skip
"""Every value that a table shows, in the order of the tables."""


def columns_of(runs: Iterable[Results], view: View) -> list[Column]:
    """Return the columns of a view of some runs: ours, and those that metrics from outside recorded with the runs."""
    recorded = {column["name"]: column for run in runs for column in run.get("columns") or ()}
    shown = frozenset({View.CSV, View.EVALUATION, View.PAGE, View.WANDB})
    own = [
        Column(
            name,
            str(column.get("label", name)),
            str(column.get("format", "")),
            str(column.get("unit", "")),
            views=shown,
        )
        for name, column in recorded.items()
    ]
    return [column for column in (*COLUMNS, *own) if view in column.views]


@cache
def _schema() -> type[BaseModel]:
    """Return what every results.json has, as pydantic checks it; there is more in it."""
    fields: dict[str, Any] = {}
    for number, column in enumerate(COLUMNS):
        if not column.derived and column.name != CHOICES:
            fields[f"column_{number}"] = (column.type | None, Field(None, alias=column.name))
    return create_model("ResultsFile", __config__=ConfigDict(extra="allow", allow_inf_nan=False), **fields)


def _upgraded(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a results.json with the facts that 0.3 and earlier left to be guessed from names.

    It is the only place that knows those names.
    """
    settings = with_current_targets(content.get("settings") or {})
    grey = settings.get("data.binarize", "none") == "none"
    known = {
        "kl_weight_at_the_end": content.get(KL_WEIGHT),
        HAS_DENSITY: content.get(LOG_PX_SAMPLES) != 0,
        FORECAST_APPLIES: forecast_applies(settings),
        SCHEDULE_HAS_FEEDBACK: settings.get("beta_schedule.name") in {"geco", "control_vae"},
        BOUND_IS_A_LIKELIHOOD: not (grey and settings.get("likelihood.name") == "bernoulli"),
    }
    return {**known, **content, **({"settings": settings} if settings else {})}


def forecast_applies(settings: dict[str, Any]) -> bool:
    """Say by the names of the parts whether a run is of the model that forecasts are of."""
    gaussian = settings.get("posterior.name", "diagonal") in {"diagonal", "full_covariance"}
    return bool(gaussian and settings.get("objective.name", "elbo") == "elbo")
