"""Configs of earlier versions in today's terms: where our parts were and are, and which keys there were not yet.

A saved config names a part by the path under which it was importable then. A rename in the house adds a line to
``MOVED``; then the config of an old run still builds the same part, and no run's fingerprint changes. A new key adds
its value for what was done before to ``ADDED``; then an old config has it, and no run's fingerprint changes either.
"""

import pkgutil
from typing import Any

PACKAGE = __name__.partition(".")[0]
_SCHEDULES = ("constant", "rise", "sigmoid", "cyclical", "Geco", "ControlVAE")
MOVED = {
    # 0.4.0
    **{f"{PACKAGE}.beta_schedules.{name}": f"{PACKAGE}.schedules.{name}" for name in _SCHEDULES},
    f"{PACKAGE}.optimizers.constant": f"{PACKAGE}.schedules.constant",
    f"{PACKAGE}.optimizers.cosine": f"{PACKAGE}.schedules.cosine_decay",
    f"{PACKAGE}.optimizers.staircase": f"{PACKAGE}.schedules.staircase",
}
"""An import path of an earlier version, and the path of the same part today."""
ADDED: dict[str, Any] = {
    # 0.4.0
    "prior": {"name": "standard_normal", "_target_": f"{PACKAGE}.distributions.StandardNormalPrior"},
    # 0.5.0
    "data": {"scale": "auto", "drop_last": False},
    "callbacks": [],
    "model": {
        "encoder": {"depth": None},
        "decoder": {"depth": None},
        # 0.8.0
        "init": "torch",
        "output_bias": "torch",
    },
    "beta_schedule": {"length": None},
}
"""Keys that an earlier version did not have, each with the value that stands for what that version did. Below the top
level a part takes that value by itself."""
TARGET = "_target_"


def is_ours(target: str) -> bool:
    """Say whether an import path lies in this package."""
    return target.partition(".")[0] == PACKAGE


def current_target(target: str) -> str:
    """Return where a part is today."""
    while target in MOVED:
        target = MOVED[target]
    return target


def part_name(target: str) -> str:
    """Return the name by which a part enters a fingerprint: of ours the first name it had, of others the whole path."""
    if not is_ours(target):
        return target
    target = current_target(target)
    first = next((old for old in MOVED if current_target(old) == target), target)
    return first.rpartition(".")[2]


def revision(target: str) -> int:
    """Return how often the mathematics of one of our parts has changed: its attribute ``revision``, 0 without one."""
    if not is_ours(target):
        return 0
    try:
        return int(getattr(pkgutil.resolve_name(current_target(target)), "revision", 0))
    except (ImportError, AttributeError, ValueError):  # a config that was edited; whoever builds it will say so
        return 0


def upgraded(saved: dict[str, Any]) -> dict[str, Any]:
    """Return a saved config with today's import paths, and with the keys that were added since it was written."""
    current: dict[str, Any] = with_current_targets(saved)
    return {**{key: value for key, value in ADDED.items() if key not in current}, **current}


def with_current_targets(node: Any, key: str = "") -> Any:
    """Return nested or flat settings in which every ``_target_`` names where the part is today."""
    if isinstance(node, dict):
        return {name: with_current_targets(value, name) for name, value in node.items()}
    if isinstance(node, list):
        return [with_current_targets(item) for item in node]
    return current_target(node) if key.rpartition(".")[2] == TARGET and isinstance(node, str) else node
