"""A run is its resolved config: its directory and its W&B id follow from what decides its result."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from vae_lightning import __version__

DECIDES_THE_RESULT = (
    "data",
    "model",
    "likelihood",
    "posterior",
    "objective",
    "estimator",
    "beta_schedule",
    "optimizer",
    "lr_schedule",
    "kl_weight",
    "latent_dim",
    "seed",
    "smoke",
)
FEEDBACK = ("geco", "control_vae")
"""Beta schedules that end at a KL weight of their own."""
PLAIN = {
    "likelihood": "gaussian",
    "posterior": "diagonal",
    "objective": "elbo",
    "estimator": "pathwise",
    "beta_schedule": "constant",
    "optimizer": "adam",
    "lr_schedule": "constant",
}
"""Choices that go without saying in the name of a run."""
TRAINER_KEYS_THAT_DECIDE = ("max_epochs", "precision", "gradient_clip_val")
DECIDES_NOTHING = ("data_dir", "evaluation_batch_size", "fused")
"""Keys inside the parts above that say where it lies or how fast it goes."""

Config = dict[str, Any]


class RunIdentity(NamedTuple):
    """Who a run is."""

    directory: Path
    fingerprint: str
    title: str
    """For people: what is trained on what, with the critical quantity."""

    def derived(self) -> dict[str, str]:
        """Return the config's ``run`` section."""
        return {"fingerprint": self.fingerprint, "directory": str(self.directory), "version": __version__}


def identify(config: Config) -> RunIdentity:
    """Return the identity of a resolved config: equal configs give equal directories, whatever the device or path."""
    text = json.dumps(canonical(_deciding(config)), sort_keys=True)
    fingerprint = hashlib.sha256(text.encode()).hexdigest()[:8]
    model, latent_dim, seed = config["model"]["name"], config["latent_dim"], config["seed"]
    kl_weight = float(config["kl_weight"]) + 0.0  # minus zero is zero
    choices = unusual_choices(config)
    critical = critical_quantity(config, kl_weight, config["likelihood"].get("variance"))
    readable = "-".join(
        [config["data"]["name"], model, *choices, f"latent{latent_dim}", f"w{kl_weight:g}", f"seed{seed}"]
    )
    return RunIdentity(
        directory=Path(config["runs_dir"]) / config["study"]["name"] / f"{readable}-{fingerprint}",
        fingerprint=fingerprint,
        title=f"{' '.join([config['data']['name'], model, *choices])}, latent {latent_dim}, kl_weight {kl_weight:g}, "
        f"{critical_text(critical)}, seed {seed}",
    )


def _deciding(config: Config) -> Config:
    """Return the part of a config that decides the result, as far as it is there."""
    trainer = config.get("trainer") or {}
    return {key: config[key] for key in DECIDES_THE_RESULT if key in config} | {
        "trainer": {key: trainer[key] for key in TRAINER_KEYS_THAT_DECIDE if key in trainer}
    }


def settings(config: Config) -> dict[str, Any]:
    """Return what decides the result, each value under its full name: what tells one run from another."""
    return dict(_leaves(_deciding(config), ""))


def _leaves(node: Config, prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        elif key not in DECIDES_NOTHING:
            yield prefix + key, list(value) if isinstance(value, tuple) else value  # as JSON will have it


def unusual_choices(config: Config) -> list[str]:
    """Return the names of the parts that are not the plain ones: what tells this run from an ordinary VAE.

    A user's own class speaks for itself, whatever option it was put in place of.
    """
    names = [(_name(config[group]), plain) for group, plain in PLAIN.items()]
    return [name for name, plain in names if name != plain]


def _name(node: Config) -> str:
    package, *_, class_name = node["_target_"].split(".")
    name: str = node["name"] if package in {__name__.split(".")[0], "torch"} else class_name
    return name


def critical_quantity(config: Config, kl_weight: float, variance: float | None) -> float | None:
    """Return kl_weight x sigma^2, above which no direction of the data can live; None where that is not the rule.

    It is one for a bound in which kl_weight itself multiplies the whole KL, and for a decoder with one sigma^2.
    """
    if variance is None or not is_plain(config) or config["beta_schedule"]["name"] in FEEDBACK:
        return None
    return kl_weight * variance


def is_plain(config: Config) -> bool:
    """Say whether kl_weight multiplies the whole KL of an ELBO: the model that closed forms and forecasts are of."""
    return bool(config["objective"]["name"] == "elbo" and config["posterior"]["name"] != "point")


def critical_text(critical: float | None) -> str:
    """Return the critical quantity in words."""
    return "not decided by kl_weight·σ² alone" if critical is None else f"kl_weight·σ² {critical:g}"


def canonical(value: Any) -> Any:
    """Make 1, 1.0 and 1e0 one value, and drop the keys that decide nothing."""
    if isinstance(value, dict):
        return {key: canonical(item) for key, item in value.items() if key not in DECIDES_NOTHING}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value) + 0.0
        return repr(number) if number == value else repr(value)  # an integer too large for a float is itself
    return value
