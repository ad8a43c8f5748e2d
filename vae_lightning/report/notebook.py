"""A page of the lab notebook, written from finished runs and never by hand: question, command, result, figures."""

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vae_lightning.files import write_atomically
from vae_lightning.report.charts import phase_diagram
from vae_lightning.report.csv_rows import csv_text, kl_if_linear, number, verdict_with_margin
from vae_lightning.report.series import panels, spread
from vae_lightning.report.tables import UNITS_SHOWN, forecast_units, has_density, verdict_word, what_differs
from vae_lightning.runs.directory import CONFIG, FIGURES, RESULTS, read_config
from vae_lightning.runs.status import FoundRun

FINDING = "finding.md"
PHASES = "phase_diagram.png"
DPI = 110
MISSING_BELOW = 0.01
"""Share of the images under which a kind is called missing: as few may be mistakes of the count."""


def write_page(runs: Sequence[FoundRun], folder: Path) -> Path:
    """Write README.md, results.csv and the figures of one study's runs into ``folder``; return the page.

    The figures shown are those of the first run where there is one run only. Where the folder has a ``finding.md``, its
    words, the only ones of the page by hand, stand before the numbers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "results.csv", csv_text(runs, with_state=False).encode())
    directory = runs[0].directory
    figures = sorted((directory / FIGURES).glob("*.png")) if len(runs) == 1 else []
    for figure in figures:
        write_atomically(folder / figure.name, figure.read_bytes())
    names = [figure.name for figure in figures]
    if phases := phase_diagram(panels([run.results for run in runs])):
        picture = io.BytesIO()
        phases.savefig(picture, format="png", dpi=DPI)
        write_atomically(folder / PHASES, picture.getvalue())
        names = [PHASES, *names]
    page = folder / "README.md"
    finding = (folder / FINDING).read_text(encoding="utf-8").strip() if (folder / FINDING).exists() else ""
    write_atomically(page, _page(runs, read_config(directory), names, finding).encode())
    return page


def _page(runs: Sequence[FoundRun], config: dict[str, Any], figures: Sequence[str], finding: str) -> str:
    results = [run.results for run in runs]
    commands = dict.fromkeys(found["command"] for found in results)
    versions = ", ".join(f"{name} {version}" for name, version in results[0]["versions"].items())
    pictures = [f"![{Path(name).stem.replace('_', ' ')}]({name})" for name in figures]
    parts = [
        f"# {results[0]['study']}",
        f"**Question.** {config['study']['question']}",
        "**Command.**\n\n" + "\n".join(f"    {command}" for command in commands),
        f"**Finding.** {finding}" if finding else "",
        "**Result.** Test images, nats per image.",
        *(pictures if len(results) > 1 else []),
        _table(results) if len({found["seed"] for found in results}) == 1 else _tables_over_seeds(results),
        *(text(found) for found in results for text in (_kinds_found, _where_the_codes_lie) if len(results) == 1),
        *(pictures if len(results) == 1 else []),
        f"Written from the runs' `{RESULTS}` and `{CONFIG}` by `vae-report` ({versions}).",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(results: Sequence[dict[str, Any]]) -> str:
    told = what_differs(results)
    said = any(told)
    head = [
        *(["choices"] if said else []),
        "kl_weight",
        "kl_weight·σ²",
        "ELBO",
        "KL",
        "KL if linear",
        "KL per unit (sorted)",
        "distortion",
        "active units",
        "forecast",
        "verdict",
        "epochs",
        "s",
    ]
    rows = []
    for found, differences in zip(results, told, strict=True):
        units = sorted(found["test/kl_per_unit"], reverse=True)
        critical = found["kl_weight_times_variance"]
        rows.append(
            [
                *([", ".join(differences)] if said else []),
                f"{found['kl_weight']:g}",
                "–" if critical is None else f"{critical:.4g}",
                *(number(found[key], 2) if has_density(found) else "–" for key in ("test/elbo", "test/kl")),
                number(kl_if_linear(found), 2),
                " ".join(f"{kl:.2f}" for kl in units[:UNITS_SHOWN]) + (" …" if len(units) > UNITS_SHOWN else ""),
                f"{found['test/distortion']:.2f}",
                f"{found['test/active_units']} of {len(units)}",
                forecast_units(found),
                verdict_with_margin(found),
                str(found["epochs"]),
                f"{found['seconds']:.0f}",
            ]
        )
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _tables_over_seeds(results: Sequence[dict[str, Any]]) -> str:
    """Return a table for each panel: means over the seeds, with the least and the largest where they differ."""
    head = ["KL weight", "forecast", "series", "active units", "KL", "ELBO", "L_K", "distortion", "verdicts"]
    parts = []
    for panel in panels(results):
        lines = [head, ["---"] * len(head)]
        points = [(point, series.name) for series in panel.series for point in series.points]
        for point, name in sorted(points, key=lambda pair: pair[0].kl_weight):
            bounds = "; ".join(
                f"L{n_codes} {spread(values, '.2f')}" for n_codes, values in sorted(point.bounds().items())
            )
            found = [
                spread(point.values("test/active_units"), ".1f"),
                *(spread(point.values(key), ".2f") for key in ("test/kl", "test/elbo")),
                bounds or "–",
                spread(point.values("test/distortion"), ".2f"),
            ]
            verdicts = Counter(verdict_word(run) for run in point.runs)
            words = ", ".join(f"{count} {word}" for word, count in verdicts.items())
            forecast = ", ".join(dict.fromkeys(map(forecast_units, point.runs)))
            lines.append([f"{point.kl_weight:g}", forecast, name, *found, words])
        parts.append(f"*{panel.title}*")
        parts.append("\n".join("| " + " | ".join(line) + " |" for line in lines))
    if old := sum("settings" not in found for found in results):
        parts.append(f"Of {old} runs, which an earlier version made, `results.csv` alone tells.")
    return "\n\n".join(parts)


def _kinds_found(found: dict[str, Any]) -> str:
    """Say which digits the pictures show, as counted by nearest neighbours."""
    sentences = []
    for name, what in (("samples", "prior samples"), ("manifold", "images of the manifold")):
        counts = found.get(f"{name}/count_per_class")
        if counts is None:
            continue
        missing = [str(kind) for kind, count in enumerate(counts) if count < MISSING_BELOW * sum(counts)]
        verdict = f"**missing: {', '.join(missing)}**" if missing else "all kinds are there"
        listed = ", ".join(f"{kind}: {count}" for kind, count in enumerate(counts))
        sentences.append(f"Among the {sum(counts)} {what}, {verdict} ({listed}).")
    if not sentences:
        return ""
    accuracy = found["kinds/accuracy_on_test_images"]
    method = f"The kinds are told by the five nearest training images, which are right for {accuracy:.0%} of real test "
    return " ".join([*sentences, f"{method}images; a kind of less than {MISSING_BELOW:.0%} is called missing."])


def _where_the_codes_lie(found: dict[str, Any]) -> str:
    """Set the codes of the test images beside the prior: where they do not overlap, the prior's images miss kinds."""
    if found["latent_dim"] > 2:
        return ""
    means = ", ".join(f"{mean:.2f}" for mean in found["test/mean_of_mean_per_unit"])
    deviations = ", ".join(f"{variance**0.5:.2f}" for variance in found["test/variance_of_mean_per_unit"])
    return (
        f"The posterior means of the test images have mean ({means}) and standard deviation ({deviations}); the prior, "
        "from which samples and manifold are drawn, has 0 and 1."
    )
