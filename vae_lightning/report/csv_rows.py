"""Runs as rows: of results.csv, and of the page's table."""

import contextlib
import csv
import io
from collections.abc import Sequence
from typing import Any

from vae_lightning.report.series import OF_A_DENSITY
from vae_lightning.report.tables import has_density, verdict_word, what_differs
from vae_lightning.runs.identity import critical_quantity, settings, unusual_choices
from vae_lightning.runs.status import FoundRun, RunStatus

COLUMNS = ("run", "choices", "kl_weight", "kl_weight_times_variance", "latent_dim", "seed", "epochs", "seconds")
FOUND = (
    "test/elbo",
    "test/kl",
    "test/distortion",
    "test/active_units",
    "test/active_directions",
    "test/living_units",
    "forecast/active_units",
    "kl_if_linear",
    "test/residual_largest",
    "test/residual_error",
    "verdict",
    "verdict/margin",
    "test/log_px",
    "test/log_px_samples",
)


def csv_text(runs: Sequence[FoundRun], with_state: bool) -> str:
    """Return a line for each run; of one that is not finished, what it is and how it stands."""
    text = io.StringIO()
    about = ["state", "directory"] if with_state else []
    writer = csv.DictWriter(text, [*about, *COLUMNS, *FOUND], extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    told = what_differs([results_or_config(run) for run in runs])
    for run, differences in zip(runs, told, strict=True):
        row = results_or_config(run)
        row |= {"choices": " ".join(differences), "state": run.status, "directory": str(run.directory)}
        writer.writerow(row | {"kl_if_linear": kl_if_linear(run.results)})
    return text.getvalue()


def results_or_config(run: FoundRun) -> dict[str, Any]:
    """Return what a run found; of one that is not finished, what its config says under the same names."""
    if run.status is RunStatus.FINISHED:
        return run.results | ({} if has_density(run.results) else dict.fromkeys(OF_A_DENSITY))
    config = run.config
    found: dict[str, Any] = {"run": run.name, "settings": settings(config)}
    found |= {key: config.get(key) for key in ("kl_weight", "latent_dim", "seed")}
    with contextlib.suppress(KeyError, TypeError):  # of another version
        found["study"] = config["study"]["name"]
        found["choices"] = unusual_choices(config)
        variance = config["likelihood"].get("variance")
        found["kl_weight_times_variance"] = critical_quantity(config, config["kl_weight"], variance)
    return found


def kl_if_linear(found: dict[str, Any]) -> float | None:
    """Return the KL that a linear model would have, in nats per image; None where there is no forecast."""
    expected = found.get("forecast/kl_per_unit")
    return None if expected is None else sum(expected)


def number(value: float | None, digits: int) -> str:
    """Return a number as text, a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def verdict_with_margin(found: dict[str, Any]) -> str:
    """Return the verdict in a word, with its margin and error where there is one."""
    word = verdict_word(found)
    margin, error = found.get("verdict/margin"), found.get("verdict/margin_error")
    return word if margin is None or error is None else f"{word} ({margin:.2f} ± {error:.2f})"
