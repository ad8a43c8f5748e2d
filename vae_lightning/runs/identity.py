"""A run is its resolved config: its directory and its W&B id follow from what decides its result."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

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


def identify(config: Config) -> RunIdentity:
    """Return the identity of a resolved config: equal configs give equal directories, whatever the device or path."""
    deciding = {key: config[key] for key in DECIDES_THE_RESULT}
    deciding["trainer"] = {key: config["trainer"][key] for key in TRAINER_KEYS_THAT_DECIDE}
    text = json.dumps(_canonical(deciding), sort_keys=True)
    fingerprint = hashlib.sha256(text.encode()).hexdigest()[:8]
    model, latent_dim, seed = config["model"]["name"], config["latent_dim"], config["seed"]
    kl_weight = float(config["kl_weight"])
    choices = unusual_choices(config)
    readable = "-".join(
        [config["data"]["name"], model, *choices, f"latent{latent_dim}", f"w{kl_weight:g}", f"seed{seed}"]
    )
    return RunIdentity(
        directory=Path(config["runs_dir"]) / config["study"]["name"] / f"{readable}-{fingerprint}",
        fingerprint=fingerprint,
        title=f"{' '.join([config['data']['name'], model, *choices])}, latent {latent_dim}, kl_weight {kl_weight:g}, "
        f"{critical_text(kl_weight, config['likelihood'].get('variance'))}, seed {seed}",
    )


def unusual_choices(config: Config) -> list[str]:
    """Return the names of the parts that are not the plain ones: what tells this run from an ordinary VAE."""
    return [config[group]["name"] for group, plain in PLAIN.items() if config[group]["name"] != plain]


def critical_text(kl_weight: float, variance: float | None) -> str:
    """Return kl_weight x sigma^2 in words: above the data's largest covariance eigenvalue every unit dies."""
    if variance is None:
        return "no fixed σ²"
    return f"kl_weight·σ² {kl_weight * variance:g}"


def _canonical(value: Any) -> Any:
    """Make 1, 1.0 and 1e0 one value, and drop the keys that decide nothing."""
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items() if key not in DECIDES_NOTHING}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(float(value))
    return value
