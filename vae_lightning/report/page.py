"""Runs -> one page of HTML that opens from the disk, with no network: charts, pictures, an explorer, a table."""

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from vae_lightning.errors import Code, UserError
from vae_lightning.files import write_atomically
from vae_lightning.report.frame import charted, csv_text, known_of
from vae_lightning.report.page_charts import charts
from vae_lightning.report.page_table import link, table
from vae_lightning.report.pictures import heat_map
from vae_lightning.report.run_view import PICTURES, RunView, run_view
from vae_lightning.report.time_charts import heats, kl_history, schedules
from vae_lightning.runs.command import this_command
from vae_lightning.runs.directory import CONFIG, LATENT_PLANE, read_config
from vae_lightning.runs.results import ACTIVE_DIRECTIONS, ACTIVE_UNITS, ELBO, FORECAST_UNITS, KL, Results
from vae_lightning.runs.status import Found, FoundRun, RunStatus

PAGE = "report.html"
TABLE = "results.csv"
SIGNS = {TABLE: "state,directory,run,", PAGE: "· vae-lightning</title>"}
"""By which a file is known as one of an earlier report."""
SIGN_WITHIN = 4000
"""Characters from its beginning."""
MANIFOLD = "the decoder's images over the latent plane"
PLANE_SIDE, PLANE_REACH = 21, 3
"""As :mod:`vae_lightning.callbacks.figures` draws the latent plane."""
NOT_OURS = "not a run of this project, by what it holds"


def write_report(found: Found, folder: Path) -> Path:
    """Write ``report.html`` and ``results.csv`` about some runs into a folder; return the page.

    Raises:
        UserError: the folder cannot be written, or a file of such a name is there that no report wrote.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, sign in SIGNS.items():
            _check_ours(folder / name, sign)
        # A path need not be UTF-8: the table keeps its bytes, the page shows something in their place.
        write_atomically(folder / TABLE, csv_text(found.runs, with_state=True).encode(errors="surrogateescape"))
        write_atomically(folder / PAGE, page(found, folder).encode(errors="replace"))
    except OSError as error:
        message = f"{folder}: cannot write the report ({error.strerror or error}); --output FOLDER"
        raise UserError(message, Code.CANNOT_WRITE, (folder,)) from error
    return folder / PAGE


def _check_ours(path: Path, sign: str) -> None:
    if path.exists() and sign not in path.read_text(encoding="utf-8", errors="replace")[:SIGN_WITHIN]:
        message = f"{path}: was not written by vae-report, and stays as it is; --output FOLDER writes elsewhere"
        raise UserError(message, Code.CANNOT_WRITE, (path,))


def page(found: Found, folder: Path) -> str:
    """Return the page about some runs; its links are relative to ``folder``."""
    with ThreadPoolExecutor() as pool:  # decoding and encoding pictures leaves the interpreter to others
        runs = list(pool.map(run_view, range(len(found.runs)), found.runs))
    finished = [run for run in runs if run.found.status is RunStatus.FINISHED]
    results = [run.found.results for run in finished]
    frame = charted(results)
    heads, rows = table([(run.found, run.curves) for run in runs], folder)
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, loader=PackageLoader(__package__, ".")
    )
    studies = dict.fromkeys(known_of(run).study or run.directory.parent.name for run in found.runs)
    sprites = [{"name": run.found.name, "id": run.id} for run in finished if run.pictures.get(LATENT_PLANE)]
    return environment.get_template("page.html").render(
        title=", ".join(studies),
        questions=_questions(found.runs),
        counts={**Counter(run.status.value for run in found.runs), "foreign": len(found.foreign)},
        panels=list(charts(frame)),
        left_out=_left_out(results),
        heats=heats(frame, finished),
        schedules=schedules(finished),
        sprites=sprites,
        plane_side=PLANE_SIDE,
        plane_reach=PLANE_REACH,
        cards=[_card(run, folder) for run in finished],
        columns=heads,
        rows=rows,
        others=_others(found, folder),
        commands=list(dict.fromkeys(found.command for found in results if found.command)),
        versions=_versions(results),
        report_command=this_command(),
        now=time.strftime("%Y-%m-%d %H:%M %Z"),
    )


def _questions(runs: Sequence[FoundRun]) -> list[str]:
    """Return what the studies ask, from the first config of each."""
    questions = {}
    for run in runs:
        folder = run.directory.parent
        if folder not in questions and (run.directory / CONFIG).exists():
            try:
                questions[folder] = str((read_config(run.directory).get("study") or {}).get("question", ""))
            except UserError:
                continue
    return [question for question in dict.fromkeys(questions.values()) if question]


def _left_out(results: Sequence[Results]) -> str:
    """Say which finished runs the charts do not show, or not all of them."""
    old = [found for found in results if not found.settings]
    free = [found for found in results if found.kl_weight == 0]
    own = [found for found in results if found.settings and found.schedule_has_feedback]
    points = [found for found in results if not found.has_density]
    told = [
        (free, "with KL weight 0, which has no place on a log scale, are not on the charts over KL weights"),
        (own, "with a schedule that ends at a KL weight of its own are not on the charts over KL weights"),
        (points, "of autoencoders have no KL and no ELBO"),
        (old, "of an earlier version, which do not say how they were made, are in the table only"),
    ]
    sentences = [f"{len(runs)} run{'s' * (len(runs) > 1)} {what}." for runs, what in told if runs]
    return " ".join(sentences)


def _card(run: RunView, folder: Path) -> dict[str, Any]:
    found, history = run.found.results, kl_history(run.curves)
    return {
        "id": run.id,
        "name": run.found.name,
        "link": link(run.found.directory, folder),
        "elbo": found.text(ELBO),
        "kl": found.text(KL),
        "active": found.text(ACTIVE_UNITS),
        "directions": found.text(ACTIVE_DIRECTIONS),
        "forecast": found.text(FORECAST_UNITS),
        "verdict": found.verdict_word,
        "pictures": [
            {"uri": uri, "alt": f"{PICTURES[name]}, run {run.found.name}"}
            for name, uri in run.pictures.items()
            if uri and name in PICTURES
        ],
        "plane": run.pictures.get(LATENT_PLANE),
        "plane_alt": f"{MANIFOLD}, run {run.found.name}",
        "heat": heat_map(history),
        "heat_alt": f"KL per unit over {len(history)} epochs, run {run.found.name}",
    }


def _others(found: Found, folder: Path) -> list[dict[str, str]]:
    unfinished = [
        {"state": run.status.value, "name": run.name, "link": link(run.directory, folder), "reason": run.reason}
        for run in found.runs
        if run.status is not RunStatus.FINISHED
    ]
    foreign = [
        {"state": "foreign", "name": str(path), "link": link(path, folder), "reason": NOT_OURS}
        for path in found.foreign
    ]
    return unfinished + foreign


def _versions(results: Sequence[Results]) -> str:
    every = dict.fromkeys(
        ", ".join(f"{name} {version}" for name, version in (found.versions or {}).items()) for found in results
    )
    return "; ".join(text for text in every if text)
