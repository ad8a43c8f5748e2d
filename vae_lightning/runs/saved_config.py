"""Whether a config that was saved in a run directory is the one that the run was begun with, and may be built."""

import importlib
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from packaging.version import Version

from vae_lightning.errors import Code, UserError
from vae_lightning.runs import directory
from vae_lightning.runs.identity import CURVE_STEPS, differences, identify, settings
from vae_lightning.runs.run_config import Node, RunConfig
from vae_lightning.runs.upgrade import TARGET

FIRST_OF_THESE_FINGERPRINTS = Version("0.4.0")
"""Earlier versions had fingerprints of import paths; of their runs the settings in the results are the witness."""
A_KEY = " (a key)"
OWN_ROOMS = tuple(
    f"vae_lightning.{room}"
    for room in ("data", "distributions", "networks", "objectives", "optimizers", "runs.trainer", "schedules")
)
"""Whose ``__all__`` a config that was found in a directory may name; and torch's modules and optimisers."""


def check_unchanged(folder: Path, config: RunConfig, with_curves: bool = False) -> None:
    """Check that the config saved in a run directory is the one that the directory's fingerprint is of.

    ``with_curves`` also checks that the same steps go into the curves, by the same version of this package.

    Raises UserError with each difference where it was edited, or another version would go on.
    """
    if not (folder / directory.CONFIG).exists():
        return
    also = (CURVE_STEPS, "run.version") if with_curves else ()
    found = differences(settings(directory.read_config(folder), also), settings(config.plain(), also))
    if found:
        how = "is not the config that this run was begun with; put it back, or train afresh by rerun=true"
        raise _changed(folder, how, found)


def check_fingerprint(folder: Path, saved: dict[str, Any]) -> None:
    """Check that a saved config is still what its own fingerprint is of.

    Raises UserError where it was edited, with the differences where the results know them; or has no fingerprint.
    """
    flat = settings(saved, ("run.fingerprint", "run.version"))
    then, version = flat.get("run.fingerprint"), flat.get("run.version")
    if then is None or version is None:
        raise _changed(folder, "has no fingerprint; a version before 0.2 wrote it", {})
    results = directory.read_results(folder)
    as_trained = {**settings(saved), **((results.settings if results else None) or {})}
    found = differences(settings(saved), as_trained)
    comparable = Version(str(version)) >= FIRST_OF_THESE_FINGERPRINTS
    if found or (comparable and then != identify(saved).fingerprint):
        raise _changed(folder, f"was edited; put back the values of the fingerprint {then}", found)


def _changed(folder: Path, how: str, found: dict[str, str]) -> UserError:
    lines = "".join(f"\n  {line}" for line in found.values())
    return UserError(f"{folder / directory.CONFIG}: {how}{lines}", Code.CHANGED, [folder / directory.CONFIG, *found])


def check_origins(config: Node, also: Sequence[str] = ()) -> None:
    """Check that a config which somebody else may have written builds nothing but what this project is made of.

    It must come before :func:`vae_lightning.config.checked`, which imports what is named; importing runs code.

    Raises UserError where a ``_target_`` is none of these and lies in no package of ``also``, or where there is
    something that a resolved config does not have, which could hide one.
    """
    for path, value in _walk(config, ""):
        why = None
        if isinstance(value, str) and "${" in value:
            why = f"{path}={value}: refused; a saved config is resolved and has no interpolations"
        elif not isinstance(value, dict | list | str | int | float | None):
            why = f"{path}: refused; a saved config has no {type(value).__name__}"
        elif path.rpartition(".")[2] == TARGET and not _may_be_built(str(value), also):
            why = f"{path}={value}: refused, and nothing was run; a saved config may name what {', '.join(OWN_ROOMS)} "
            why += "offer, and modules and optimisers of torch. If you trust it: --allow PACKAGE."
        if why:
            raise UserError(why, Code.REFUSED, [path.removesuffix(A_KEY)])


def _walk(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, node
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield f"{path}.{key}".lstrip(".") + A_KEY, str(key)
        yield from _walk(value, f"{path}.{key}".lstrip("."))


def _may_be_built(target: str, also: Sequence[str]) -> bool:
    import torch

    if any(target.startswith(f"{package}.") for package in also):
        return True
    module, _, name = target.rpartition(".")
    if module in OWN_ROOMS:
        return name in importlib.import_module(module).__all__
    kind = {"torch.nn": torch.nn.Module, "torch.optim": torch.optim.Optimizer}.get(module)
    found = vars(importlib.import_module(module)).get(name) if kind else None
    return kind is not None and inspect.isclass(found) and issubclass(found, kind)
