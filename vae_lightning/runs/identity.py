"""A run is its resolved config: its directory and its W&B id follow from what decides its result.

A fingerprint is a hash of the parts by name and settings, and of nothing else: not of where a part is imported from,
nor of the device, the logger, or where files lie. A key that a later version added is left out of it as long as it has
the value that stands for what was done before; a part whose mathematics changed has another ``revision``.
"""

import hashlib
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from vae_lightning import __version__
from vae_lightning.conf_folder import default_options
from vae_lightning.data.node import CONTENT, FILES
from vae_lightning.runs import upgrade
from vae_lightning.runs.upgrade import TARGET, is_ours, part_name, revision

DECIDES_THE_RESULT = (
    "data", "model", "likelihood", "prior", "posterior", "objective", "estimator", "beta_schedule", "optimizer",
    "lr_schedule", "kl_weight", "latent_dim", "seed", "smoke", "callbacks",
)  # fmt: skip
TRAINER_KEYS_THAT_DECIDE = ("max_epochs", "precision", "gradient_clip_val")
DECIDES_NOTHING = ("data_dir", "evaluation_batch_size", "fused")
"""Keys inside the parts above that say where something lies or how fast it goes."""
CURVE_STEPS = "trainer.log_every_n_steps"
"""Decides which steps the curves have."""
MECHANICS = "_partial_"
"""Says how a part is built, and follows from which part it is."""
ALWAYS_NAMED = ("data", "model")
"""Groups whose choice is in the name of every run; the others are where they are not the ordinary one."""

Config = dict[str, Any]


class RunIdentity(NamedTuple):
    """Which run it is."""

    directory: Path
    fingerprint: str
    title: str
    """For people: what is trained on what."""

    def derived(self) -> dict[str, str]:
        """Return the config's ``run`` section."""
        return {"fingerprint": self.fingerprint, "directory": str(self.directory), "version": __version__}


def identify(config: Config) -> RunIdentity:
    """Return the identity of a checked config: equal configs give equal directories, whatever the device or path."""
    text = json.dumps(deciding(settings(config)), sort_keys=True)
    fingerprint = hashlib.sha256(text.encode()).hexdigest()[:8]
    subject = [*(config[group]["name"] for group in ALWAYS_NAMED), *unusual_choices(config)]
    kl_weight = float(config["kl_weight"]) + 0.0  # minus zero is zero
    latent_dim, seed = config["latent_dim"], config["seed"]
    readable = "-".join([*subject, f"latent{latent_dim}", f"w{kl_weight:g}", f"seed{seed}"])
    return RunIdentity(
        directory=Path(config["runs_dir"]) / config["study"]["name"] / f"{readable}-{fingerprint}",
        fingerprint=fingerprint,
        title=f"{' '.join(subject)}, latent {latent_dim}, kl_weight {kl_weight:g}, seed {seed}",
    )


def settings(config: Config, also: Collection[str] = ()) -> dict[str, Any]:
    """Return what decides the result, and the keys in ``also``: each value under its full name, as it stands there."""
    trainer = config.get("trainer")
    trainer = trainer if isinstance(trainer, dict) else {}
    chosen = {key: config[key] for key in DECIDES_THE_RESULT if key in config}
    if isinstance(data := chosen.get("data"), dict) and CONTENT in data:  # wherever the files lie
        source = {key: value for key, value in data["source"].items() if key not in FILES}
        chosen["data"] = {**data, "source": source}
    chosen["trainer"] = {key: trainer[key] for key in TRAINER_KEYS_THAT_DECIDE if key in trainer}
    return dict(_leaves(chosen, "")) | {key: value for key, value in _leaves(config, "") if key in also}


def _leaves(node: Config, prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        elif key not in DECIDES_NOTHING:
            yield prefix + key, list(value) if isinstance(value, tuple) else value  # as JSON will have it


def deciding(settings: dict[str, Any]) -> dict[str, Any]:
    """Return what a fingerprint is of: settings in one spelling, and each part by the name that lasts."""
    found: dict[str, Any] = {}
    as_before = dict(_leaves(upgrade.ADDED, ""))
    for key, value in settings.items():
        if key in as_before and as_before[key] == value:
            continue
        group, _, last = key.rpartition(".")
        if last == TARGET:
            found[key] = part_name(str(value))
            if changes := revision(str(value)):
                found[f"{group}.revision"] = changes
        elif last != MECHANICS:
            found[key] = canonical(value)
    return found


def differences(there: dict[str, Any], here: dict[str, Any]) -> dict[str, str]:
    """Return what decides the result and is not the same in two runs' settings: key to a line about both values."""
    one, other = deciding(there), deciding(here)
    return {
        key: f"{key}: {there.get(key, 'missing')} there, {here.get(key, 'missing')} here"
        for key in sorted({*one, *other})
        if one.get(key) != other.get(key)
    }


def unusual_choices(config: Config) -> list[str]:
    """Return the names of the parts that are not the ordinary ones: what tells this run from the default VAE.

    A class of a user's own stands there by its own name, whatever option it was put in place of.
    """
    groups = [group for group in default_options() if group in DECIDES_THE_RESULT and group not in ALWAYS_NAMED]
    names = [(_shown_name(config[group]), default_options()[group]) for group in groups if group in config]
    return [name for name, ordinary in names if name != ordinary]


def shown_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Return a run's flat settings as people read them: a class of a user's own gives its part's name, and no import
    path is left."""
    shown = {key: value for key, value in settings.items() if key.rpartition(".")[2] not in (TARGET, MECHANICS)}
    parts = (key.removesuffix(f".{TARGET}") for key in settings if key.endswith(f".{TARGET}"))
    nodes = {part: {"name": settings.get(f"{part}.name"), TARGET: settings[f"{part}.{TARGET}"]} for part in parts}
    names = {f"{part}.name": _shown_name(node) for part, node in nodes.items() if node["name"]}
    return shown | names


def _shown_name(node: Config) -> str:
    target: str = node[TARGET]
    return node["name"] if is_ours(target) or target.startswith("torch.") else target.rpartition(".")[2]


def canonical(value: Any) -> Any:
    """Return a value in one spelling: 1, 1.0 and 1e0 are the same."""
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value) + 0.0
        return repr(number) if number == value else repr(value)  # an integer too large for a float is itself
    return value
