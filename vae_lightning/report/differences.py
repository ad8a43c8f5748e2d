"""What tells runs apart: the choices that are not an ordinary VAE's, and the settings in which runs differ."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from vae_lightning.runs.results import CHOICES, KL_WEIGHT, Results

Settings = dict[str, Any]


def what_differs(results: Sequence[Results]) -> list[list[str]]:
    """Return for each run what tells it from an ordinary VAE and from the other runs, but for the KL weight.

    Where they differ in an option, its name stands for all its settings; where those that have it differ in one of
    these, its key and value are told as well.
    """
    settings = [found.settings or {} for found in results]
    keys = dict.fromkeys(key for of_run in settings for key in of_run if key != KL_WEIGHT)
    differing = [key for key in keys if len({str(of_run.get(key)) for of_run in settings}) > 1]
    subjects = [key for key in ("data.name", "model.name") if key in differing]  # of which none is plain
    said = {key: _options_that_tell(key, settings) for key in differing}
    return [
        [
            *(of_run[key] for key in subjects if key in of_run),
            *(found.get(CHOICES) or ()),
            *(f"{key}={of_run[key]}" for key in differing if key in of_run and _option(key, of_run) not in said[key]),
        ]
        for found, of_run in zip(results, settings, strict=True)
    ]


def _option(key: str, settings: Settings) -> Any:
    """Return the name of the option that a setting belongs to, None where it belongs to none."""
    return settings.get(f"{key.partition('.')[0]}.name")


def _options_that_tell(key: str, settings: Sequence[Settings]) -> set[str]:
    """Return the options whose name tells what a setting is: all runs that have the option have it alike."""
    values: dict[str, set[str]] = {}
    for of_run in settings:
        if (option := _option(key, of_run)) is not None:
            values.setdefault(option, set()).add(str(of_run.get(key)))
    return {option for option, found in values.items() if len(found) == 1}


def apart(names: Sequence[str], settings: Sequence[Settings]) -> list[str]:
    """Return the names; equal ones with the settings in which those who have them differ."""
    count = Counter(names)
    found = []
    for name, own in zip(names, settings, strict=True):
        if count[name] == 1:
            found.append(name)
            continue
        alike = [other for other_name, other in zip(names, settings, strict=True) if other_name == name]
        keys = [key for key in own if len({json.dumps(other.get(key)) for other in alike}) > 1]
        told = [f"{key}={own[key]}" for key in keys if not key.endswith("_target_")]
        found.append(", ".join([name, *(told or [f"{key}={own[key]}" for key in keys])]))
    return found
