"""Metrics: functions of what an evaluation gathered. One number that cannot be had never costs the others."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from vae_lightning.errors import Code, UserError
from vae_lightning.evaluation.evaluated import Evaluated

Function = TypeVar("Function", bound=Callable[..., Any])
STYLE = ".4g"


class Metric(NamedTuple):
    """A diagnostic under the keys of ``results.json`` that it gives values for."""

    keys: tuple[str, ...]
    function: Callable[[Evaluated], Any]
    """Returns the value of its key, or a tuple of one value for each key; None where it is not defined."""
    thorough: bool = False
    """Whether it takes so long that only `vae-evaluate` computes it."""
    columns: tuple[dict[str, str], ...] = ()
    """How a metric from outside this package is shown: name, label, unit, format."""


def gives(
    *keys: str, thorough: bool = False, label: str = "", unit: str = "", style: str = STYLE
) -> Callable[[Function], Function]:
    """Mark a function as a metric that gives values for some keys; label, unit and style say how they are shown."""
    format(0.5, style)  # one that is none is refused here

    def marked(function: Function) -> Function:
        shown = tuple({"name": key, "label": label or key, "unit": unit, "format": style} for key in keys)
        function.metric = Metric(keys, function, thorough, shown)  # type: ignore[attr-defined]
        return function

    return marked


def metric_of(function: Callable[[Evaluated], Any], name: str) -> Metric:
    """Return a function from outside as a metric; one that ``gives`` has not marked gives ``test/<name>``."""
    marked = getattr(getattr(function, "func", function), "metric", None)  # a partial hides what it is of
    if isinstance(marked, Metric):
        return marked._replace(function=function)
    key = f"test/{name}"
    shown = {"name": key, "label": name.replace("_", " "), "unit": "", "format": STYLE}
    return Metric((key,), function, columns=(shown,))


def check_keys(own: Iterable[Metric], others: Sequence[Metric]) -> None:
    """Raise UserError where a metric from outside would write over a value of another one."""
    taken = {key for metric in others for key in metric.keys}
    for metric in own:
        if again := sorted(taken & set(metric.keys)):
            message = f"metrics: {', '.join(again)} is given by another metric; give it another name"
            raise UserError(message, Code.INCOMPATIBLE, ("metrics",))
        taken |= set(metric.keys)


def measured(metrics: Iterable[Metric], evaluated: Evaluated) -> tuple[dict[str, Any], list[str]]:
    """Return the values of some metrics by their keys, and a sentence for each value that cannot be had.

    Such a value is None: the metric raised an error, or what it gave is not finite.
    """
    values: dict[str, Any] = {}
    caveats: list[str] = []
    for metric in metrics:
        if metric.thorough and not evaluated.effort.thorough:
            continue
        try:
            given = metric.function(evaluated)
            several = (given,) if len(metric.keys) == 1 else given or (None,) * len(metric.keys)
            found = dict(zip(metric.keys, several, strict=True))
        except Exception as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            caveats.append(f"{', '.join(metric.keys)}: cannot be had ({reason})")
            found = dict.fromkeys(metric.keys)
        found = {key: _plain(value) for key, value in found.items()}
        reasons = {key: why for key, value in found.items() if (why := _why_not_kept(value))}
        for reason in dict.fromkeys(reasons.values()):
            caveats.append(f"{', '.join(key for key in reasons if reasons[key] == reason)}: {reason}")
        values |= found | dict.fromkeys(reasons)
    return values, caveats


def _plain(value: Any) -> Any:
    """Return tensors and arrays, also inside lists and dicts, as numbers and lists."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value.tolist() if hasattr(value, "tolist") else value


def _why_not_kept(value: Any) -> str | None:
    """Say why results.json, which knows no NaN, cannot hold a value; None where it can."""
    try:
        json.dumps(value, allow_nan=False)
    except TypeError as error:
        return f"cannot be written ({error})"
    except ValueError:
        return "not finite"
    return None
