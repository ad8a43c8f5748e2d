"""Runs as text: the summary before, the summary after, and the table of a sweep."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

UNITS_SHOWN = 8
WIDTH_WITH_NAMES = 120
COLUMNS_ALREADY = ("kl_weight",)


def facts(title: str, rows: Sequence[tuple[str, str]]) -> RenderableType:
    """Return a framed two-column list."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(name, Text(value))
    return Panel(grid, title=title, title_align="left", expand=False)


def results_summary(results: dict[str, Any], directory: Path) -> RenderableType:
    """Return what a finished run found and where to look."""
    kl_per_unit = sorted(results["test/kl_per_unit"], reverse=True)
    shown = " ".join(f"{kl:.2f}" for kl in kl_per_unit[:UNITS_SHOWN])
    rest = f" … {kl_per_unit[-1]:.2f}" if len(kl_per_unit) > UNITS_SHOWN else ""
    rows = [
        ("test ELBO", f"{results['test/elbo']:.2f} nats per image"),
        ("KL", f"{results['test/kl']:.2f} nats, distortion {results['test/distortion']:.2f}; {_weighed(results)}"),
        ("KL per unit", f"{shown}{rest}  (sorted)"),
        (
            "active units",
            f"{results['test/active_units']} of {len(kl_per_unit)}, forecast {forecast_units(results)}",
        ),
        ("verdict", results.get("verdict/sentence", verdict_word(results))),
        ("trained", f"{results['epochs']} epochs, {results['steps']} steps, {results['seconds']:.0f} s"),
    ]
    # The path on a line of its own, whole, so that it can be copied.
    return Group(facts("finished", rows), Text(f"figures/ and results.json in {directory}", no_wrap=True))


def _weighed(results: dict[str, Any]) -> str:
    critical = results["kl_weight_times_variance"]
    times = "" if critical is None else f" (·σ² {critical:.4g})"
    return f"KL weight at the end {results['kl_weight_at_the_end']:.4g}{times}"


def what_differs(results: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return for each run what tells it from an ordinary VAE and from the other runs, but for the KL weight.

    Where they differ in an option, its name stands for all its settings; where those that have it differ in one of
    these, its key and value are told as well.
    """
    settings = [row.get("settings", {}) for row in results]
    keys = [key for key in dict.fromkeys(key for of_run in settings for key in of_run) if key not in COLUMNS_ALREADY]
    differing = [key for key in keys if len({str(of_run.get(key)) for of_run in settings}) > 1]
    subjects = [key for key in ("data.name", "model.name") if key in differing]  # of which none is plain
    return [
        [
            *(of_run[key] for key in subjects if key in of_run),
            *row.get("choices", []),
            *(
                f"{key}={of_run[key]}"
                for key in differing
                if key in of_run and not _said_by_option(key, of_run, settings)
            ),
        ]
        for row, of_run in zip(results, settings, strict=True)
    ]


def _said_by_option(key: str, of_run: dict[str, Any], settings: Sequence[dict[str, Any]]) -> bool:
    """Say whether the name of a group's option tells what a setting is: all runs that have the option have it alike."""
    option = f"{key.partition('.')[0]}.name"
    alike = [other.get(key) for other in settings if other.get(option) == of_run.get(option)]
    return option in of_run and len(set(map(str, alike))) == 1


def has_density(results: dict[str, Any]) -> bool:
    """Say whether a run's posterior has a density, and with it a KL and a bound: an autoencoder's points have none."""
    return results.get("test/log_px_samples") != 0


def verdict_word(results: dict[str, Any]) -> str:
    """Return the verdict on a run's dead units in a word, or why there is none."""
    if "verdict" not in results:
        return "not examined"  # by an earlier version; vae-evaluate does
    return results["verdict"] or "no verdict"


def forecast_applies(results: dict[str, Any]) -> bool:
    """Say whether a run is of the model that forecasts are of: a Gaussian posterior, kl_weight times its whole KL."""
    settings = results.get("settings", {})
    gaussian = settings.get("posterior.name", "diagonal") in {"diagonal", "full_covariance"}
    return bool(gaussian and settings.get("objective.name", "elbo") == "elbo")


def forecast_units(results: dict[str, Any]) -> str:
    """Return how many units the data's spectrum lets live, in a plain VAE if the run is another; or a dash."""
    units = results.get("forecast/active_units")
    return "–" if units is None else f"{units}{'' if forecast_applies(results) else ' if plain'}"


def run_table(results: Sequence[dict[str, Any]], width: int) -> RenderableType:
    """Return one row per run, by KL weight: what survived at which weight.

    The id ends the name of the run's directory; where ``width`` has room, the whole name stands there. Where the runs
    differ from an ordinary VAE it is said how, in a narrow table in place of forecast and verdict.
    """
    told = what_differs(results)
    said = any(told)
    wide = width >= WIDTH_WITH_NAMES
    judged = wide or not said
    run = "run" if wide else "fingerprint"
    table = Table(title="test images, nats per image", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("kl_weight", "kl_weight·σ²", "ELBO", "KL", "active"):
        table.add_column(column, justify="right", no_wrap=True)
    if judged:
        table.add_column("forecast", justify="right", no_wrap=True)
        table.add_column("verdict", no_wrap=True)
    if said:
        table.add_column("choices", overflow="fold", min_width=16)
    table.add_column("run" if run == "run" else "id", no_wrap=True)
    pairs = zip(results, told, strict=True)
    for row, differences in sorted(pairs, key=lambda pair: (pair[0]["kl_weight"], pair[0]["run"])):
        critical = row["kl_weight_times_variance"]
        table.add_row(
            f"{row['kl_weight']:g}",
            "–" if critical is None else f"{critical:.4g}",
            *(f"{row[key]:.2f}" if has_density(row) else "–" for key in ("test/elbo", "test/kl")),
            f"{row['test/active_units']}/{len(row['test/kl_per_unit'])}",
            *([forecast_units(row), verdict_word(row)] if judged else []),
            *([Text(", ".join(differences))] if said else []),
            Text(row[run]),
        )
    return table
