"""A page of the lab notebook, written from finished runs: question, command, result, figures.

A folder that has a ``page.md`` gets the page that its words ask for: :mod:`vae_lightning.report.study_page`.
"""

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vae_lightning.files import write_atomically
from vae_lightning.report.charts import phase_diagram
from vae_lightning.report.differences import what_differs
from vae_lightning.report.frame import charted, csv_text, spread, spread_of_bounds
from vae_lightning.report.study_page import TEMPLATE, write_study
from vae_lightning.report.words import markdown
from vae_lightning.runs.directory import CONFIG, FIGURES, RESULTS, read_config
from vae_lightning.runs.results import CHOICES, FORECAST_UNITS, KL_WEIGHT, NONE, Results, View, columns_of
from vae_lightning.runs.status import FoundRun

PHASES = "phase_diagram.png"
DPI = 110
MISSING_BELOW = 0.01
"""Share of the images under which a kind is called missing: as few may be mistakes of the count."""


def write_page(runs: Sequence[FoundRun], folder: Path) -> Path:
    """Write README.md, results.csv and the figures of one study's runs into ``folder``; return the page.

    The figures shown are those of the first run where there is one run only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / TEMPLATE).exists():
        return write_study(folder, runs)
    write_atomically(folder / "results.csv", csv_text(runs, with_state=False).encode())
    directory = runs[0].directory
    figures = sorted((directory / FIGURES).glob("*.png")) if len(runs) == 1 else []
    for figure in figures:
        write_atomically(folder / figure.name, figure.read_bytes())
    names = [figure.name for figure in figures]
    if phases := phase_diagram(charted([run.results for run in runs])):
        picture = io.BytesIO()
        phases.savefig(picture, format="png", dpi=DPI)
        write_atomically(folder / PHASES, picture.getvalue())
        names = [PHASES, *names]
    page = folder / "README.md"
    write_atomically(page, _page(runs, read_config(directory), names).encode())
    return page


def _page(runs: Sequence[FoundRun], config: dict[str, Any], figures: Sequence[str]) -> str:
    results = [run.results for run in runs]
    commands = dict.fromkeys(found.command for found in results if found.command)
    versions = ", ".join(f"{name} {version}" for name, version in (results[0].versions or {}).items())
    pictures = [f"![{Path(name).stem.replace('_', ' ')}]({name})" for name in figures]
    parts = [
        f"# {results[0].study}",
        f"**Question.** {config['study']['question']}",
        "**Command.**\n\n" + "\n".join(f"    {command}" for command in commands),
        "**Result.** Test images, nats per image.",
        *(pictures if len(results) > 1 else []),
        _table(results) if len({found.seed for found in results}) == 1 else _tables_over_seeds(results),
        *(text(found) for found in results for text in (_classes_shown, _where_the_codes_lie) if len(results) == 1),
        *(pictures if len(results) == 1 else []),
        f"Written from the runs' `{RESULTS}` and `{CONFIG}` by `vae-report` ({versions}).",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(results: Sequence[Results]) -> str:
    """Return a row for each run."""
    told = what_differs(results)
    columns = [column for column in columns_of(results, View.NOTEBOOK) if column.name != CHOICES or any(told)]
    rows = [
        [", ".join(words) if column.name == CHOICES else column.text(found) for column in columns]
        for found, words in zip(results, told, strict=True)
    ]
    return markdown([column.label for column in columns], rows)


def _tables_over_seeds(results: Sequence[Results]) -> str:
    """Return a table for each panel: means over the seeds, with the least and the largest where they differ."""
    columns = columns_of(results, View.MEANS)
    head = ["KL weight", "forecast", "series", *(column.label for column in columns), "L_K", "verdicts"]
    parts = []
    for title, panel in charted(results).groupby("panel", sort=False):
        rows = []
        for (weight, name), runs in panel.groupby([KL_WEIGHT, "series"], sort=False):
            verdicts = Counter(found.verdict_word for found in runs["results"])
            forecasts = dict.fromkeys(found.text(FORECAST_UNITS) for found in runs["results"])
            means = [spread(runs[column.name], column.format) for column in columns]
            words = ", ".join(f"{count} {word}" for word, count in verdicts.items())
            bounds = "; ".join(spread_of_bounds(runs, ".2f")) or NONE
            rows.append((weight, [f"{weight:g}", ", ".join(forecasts), str(name), *means, bounds, words]))
        parts += [f"*{title}*", markdown(head, [row for _, row in sorted(rows, key=lambda pair: pair[0])])]
    if old := sum(not found.settings for found in results):
        parts.append(f"Of {old} runs, which an earlier version made, `results.csv` alone tells.")
    return "\n\n".join(parts)


def _classes_shown(found: Results) -> str:
    """Say which classes the pictures show, as counted by nearest neighbours."""
    sentences = []
    pictures = ((found.samples_per_class, "prior samples"), (found.manifold_per_class, "images of the manifold"))
    for counts, what in pictures:
        if counts is None:
            continue
        missing = [str(kind) for kind, count in enumerate(counts) if count < MISSING_BELOW * sum(counts)]
        verdict = f"**missing: {', '.join(missing)}**" if missing else "all kinds are there"
        listed = ", ".join(f"{kind}: {count}" for kind, count in enumerate(counts))
        sentences.append(f"Among the {sum(counts)} {what}, {verdict} ({listed}).")
    if not sentences or found.class_accuracy is None:
        return ""
    method = "The kinds are told by the five nearest training images, which are right for"
    right = f"{method} {found.class_accuracy:.0%} of real test images"
    return " ".join([*sentences, f"{right}; a kind of less than {MISSING_BELOW:.0%} is called missing."])


def _where_the_codes_lie(found: Results) -> str:
    """Set the codes of the test images beside the prior: where they do not overlap, the prior's images miss kinds."""
    if found.latent_dim > 2 or not found.mean_of_mean or not found.variance_of_mean:
        return ""
    means = ", ".join(f"{mean:.2f}" for mean in found.mean_of_mean)
    deviations = ", ".join(f"{variance**0.5:.2f}" for variance in found.variance_of_mean)
    return (
        f"The posterior means of the test images have mean ({means}) and standard deviation ({deviations}); the prior, "
        "from which samples and manifold are drawn, has 0 and 1."
    )
