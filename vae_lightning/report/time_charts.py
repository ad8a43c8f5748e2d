"""What happened during the training: the KL of each unit, and the KL weight in force."""

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from vae_lightning.report.charts import History, schedule_chart
from vae_lightning.report.differences import apart
from vae_lightning.report.frame import PLAIN_SCHEDULE, SCHEDULE
from vae_lightning.report.page_charts import INK, svg
from vae_lightning.report.page_table import Curves
from vae_lightning.report.pictures import heat_map
from vae_lightning.report.run_view import RunView
from vae_lightning.runs.results import Results

SCHEDULES_SHOWN = 8


def heats(charted: pd.DataFrame, finished: Sequence[RunView]) -> list[dict[str, Any]]:
    """Return for each series the heat maps of its runs: the KL of each unit over the epochs."""
    views = {id(view.found.results): view for view in finished}
    groups = []
    for (title, name), series in charted.groupby(["panel", "series"], sort=False):
        maps = [_heat(found, views[id(found)]) for found in series["results"]]
        if shown := [heat for heat in maps if heat]:
            groups.append({"name": f"{title}, {name}", "runs": shown})
    return groups


def _heat(found: Results, run: RunView) -> dict[str, Any] | None:
    history = kl_history(run.curves)
    uri = heat_map(history)
    if uri is None:
        return None
    largest = max((value for epoch in history for value in epoch if value is not None), default=0.0)
    about = {"weight": f"{found.kl_weight:g}", "seed": found.seed, "largest": f"{largest:.2f}"}
    return {"uri": uri, "id": run.id, "epochs": len(history), **about}


def kl_history(curves: Curves) -> list[list[float | None]]:
    """Return the KL of each unit, epoch by epoch, as the curves have it."""
    epochs = [value for line in curves for name, value in line.items() if name.endswith("/kl_per_unit")]
    return [epoch for epoch in epochs if isinstance(epoch, list) and len(epoch) == len(epochs[-1] or ())]


def schedules(runs: Sequence[RunView]) -> dict[str, Any] | None:
    """Return a chart of the KL weight in force over the steps, of one run for each beta schedule."""
    kinds: dict[str, tuple[dict[str, Any], list[int], list[float]]] = {}
    for run in runs:
        found = run.found.results
        settings = found.settings or {}
        own = {key.removeprefix(SCHEDULE): settings[key] for key in settings if key.startswith(SCHEDULE)}
        own["epochs"] = found.epochs
        key = json.dumps(own, sort_keys=True)
        lines = [line for line in run.curves if "train/kl_weight" in line]
        if "name" in own and key not in kinds and lines and found.kl_weight > 0:
            weights = [(line["train/kl_weight"] or 0.0) / found.kl_weight for line in lines]
            kinds[key] = (own, [line["step"] for line in lines], weights)
    if not kinds:
        return None
    settings_of_kinds = [own for own, _, _ in kinds.values()]
    names = apart([own["name"] for own in settings_of_kinds], settings_of_kinds)
    histories: list[History] = [
        (name, steps, weights) for name, (_, steps, weights) in zip(names, kinds.values(), strict=True)
    ]
    plain_first = sorted(histories, key=lambda history: not history[0].startswith(PLAIN_SCHEDULE))[:SCHEDULES_SHOWN]
    label = f"KL weight in force over the training: {', '.join(name for name, _, _ in plain_first)}"
    return {"svg": svg(schedule_chart(plain_first, INK), label), "caption": "as recorded, one run of each"}
