"""Whether the config saved in a run directory is the one that the run was begun with."""

from pathlib import Path
from typing import Any

from packaging.version import Version

from vae_lightning.errors import Code, UserError
from vae_lightning.runs import directory
from vae_lightning.runs.identity import differences, identify, settings
from vae_lightning.runs.run_config import RunConfig

FIRST_OF_THESE_FINGERPRINTS = Version("0.4.0")
"""Earlier versions had fingerprints of import paths; of their runs the settings in the results are the witness."""


def check_unchanged(folder: Path, config: RunConfig, with_curves: bool = False) -> None:
    """Check that the config saved in a run directory is the one that the directory's fingerprint is of.

    ``with_curves`` also checks that this process can go on with what is there: the same steps are written into the
    curves, by the same version of this package.

    Raises:
        UserError: it was edited by hand, or another version would go on; with each difference.
    """
    if not (folder / directory.CONFIG).exists():
        return
    saved, here = directory.read_config(folder), config.plain()
    found = differences(settings(saved), settings(here))
    if with_curves:
        for section, key in (("trainer", "log_every_n_steps"), ("run", "version")):
            then, now = (_value(values, section, key) for values in (saved, here))
            if then != now:
                found[f"{section}.{key}"] = f"{section}.{key}: {then} there, {now} here"
    if found:
        how = "is not the config that this run was begun with; put it back, or train afresh by rerun=true"
        raise _changed(folder, how, found)


def _value(config: dict[str, Any], section: str, key: str) -> Any:
    node = config.get(section)
    return node.get(key) if isinstance(node, dict) else None


def check_fingerprint(folder: Path, saved: dict[str, Any]) -> None:
    """Check that a saved config is still what its own fingerprint is of.

    Raises:
        UserError: it was edited; with the differences where the results know them. Or it has no fingerprint.
    """
    then, version = (_value(saved, "run", key) for key in ("fingerprint", "version"))
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
