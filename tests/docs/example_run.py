"""Runs an example of docs/examples, here or as a program of another environment: what it printed and what it found."""

import contextlib
import io
import json
import runpy
import sys
from pathlib import Path
from typing import Any, NamedTuple

import vae_lightning as vl

Facts = dict[str, Any]
"""Of a forecast, a diagnosis or a monitor, by name."""


class Run(NamedTuple):
    """What an example printed, and what it returned."""

    printed: str
    facts: list[Facts]


def run(path: Path) -> Run:
    """Run the example's ``main``, as it is run by hand: its neighbours can be imported."""
    sys.path.insert(0, str(path.parent))
    try:
        main = runpy.run_path(str(path))["main"]
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            returned = main()
    finally:
        sys.path.remove(str(path.parent))
    objects = returned if isinstance(returned, tuple) else (returned,)
    return Run(printed.getvalue(), [facts_of(each) for each in objects])


def facts_of(found: Any) -> Facts:
    """Return the values of a forecast, a diagnosis or a monitor that a table of expectations can name."""
    if isinstance(found, vl.DataForecast):
        return {
            "kl_weight": found.kl_weight.tolist(),
            "lives": found.active_units.tolist(),
            "onset": float(found.critical_kl_weights[0]),
            "ceiling": found.kl_ceiling.tolist(),
            "notes": len(found.notes),
        }
    if not isinstance(found, vl.Diagnosis):  # a CollapseMonitor, which is not to be had without Lightning
        return {"active": found.active_units, "died": len(found.died)}
    try:
        ratio = found.implied_kl_weight.value / found.kl_weight
    except vl.UserError:
        ratio = None
    return {
        "verdict": found.verdict,
        "kl_weight": found.kl_weight,
        "living": found.living_units,
        "ratio": ratio,
        "idle": found.idle_nats.value,
        "kl": found.kl.value,
        "stake": found.nats_at_stake.value,
        "advice": len(found.advice),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(Path(sys.argv[1]))._asdict()))
