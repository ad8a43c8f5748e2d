"""The lab notebook: recipes and folders belong together, recipes run, and pages say what ``results.csv`` has."""

import functools
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vae_lightning.conf_folder import config_folder
from vae_lightning.report.contents import contents_text
from vae_lightning.report.study import Study
from vae_lightning.report.study_page import SECTIONS, TEMPLATE, page_text
from vae_lightning.training import train

NOTEBOOK = Path(__file__).parents[2] / "experiments"
STUDIES = sorted(path.parent for path in NOTEBOOK.glob("*/run.sh"))
WITH_WORDS = [study for study in STUDIES if (study / TEMPLATE).exists()]
SMALL_DATA = ["data.source._target_=small_digits.small_digits", "data=digits"]


def named(study: Path) -> str:
    return study.name


def lines_of(study: Path) -> list[list[str]]:
    """Return the overrides of each sweep of a study."""
    variables: dict[str, str] = {}
    found = []
    for line in (study / "run.sh").read_text(encoding="utf-8").splitlines():
        if assigned := re.fullmatch(r"(\w+)=(\S+)", line):
            variables[assigned[1]] = assigned[2]
        else:
            typed = functools.reduce(lambda text, pair: text.replace(f"${pair[0]}", pair[1]), variables.items(), line)
            found.append(shlex.split(typed.partition("||")[0], comments=True))
    return [line for line in found if line]


def first_job(line: list[str], study: Path) -> list[str]:
    """Return the overrides of the first job of a sweep."""
    program, *overrides = line
    assert program == "vae-train"
    assert f"experiment={study.name}" in overrides
    return [override.split(",")[0] for override in overrides if override != "-m"]


def test_each_recipe_has_its_folder_and_each_folder_its_recipe() -> None:
    recipes = {path.stem for path in (config_folder() / "experiment").glob("*.yaml")}
    assert {study.name for study in STUDIES} == recipes
    assert {path.name for path in NOTEBOOK.iterdir() if path.is_dir() and path.name != "__pycache__"} == recipes


@pytest.mark.parametrize(
    "which", [slice(1), pytest.param(slice(1, None), marks=pytest.mark.slow)], ids=["first", "others"]
)
@pytest.mark.parametrize("study", STUDIES, ids=named)
def test_the_sweeps_of_a_recipe_run_with_smoke(
    study: Path, which: slice, configure: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(NOTEBOOK.parent)
    for line in lines_of(study)[which]:
        own_data = "linear_gaussian" in (config_folder() / "experiment" / f"{study.name}.yaml").read_text()
        overrides = [each for each in first_job(line, study) if own_data or not each.startswith("data=")]
        found = train(configure(*overrides, *([] if own_data else SMALL_DATA), "smoke=true"))
        assert found.study == study.name
        assert found.steps > 0


@pytest.mark.parametrize("study", WITH_WORDS, ids=named)
def test_the_page_is_what_its_words_and_results_make(study: Path) -> None:
    page = (study / "README.md").read_text(encoding="utf-8")
    assert page == page_text(Study.read(study))
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", page)
    assert [name for name in pictures if not (study / name).exists()] == []


@pytest.mark.parametrize("study", WITH_WORDS, ids=named)
def test_a_page_has_no_number_by_hand_in_its_finding(study: Path) -> None:
    """What is measured is computed; by hand are only the choices of the study (weights, seeds, epochs, shares)."""
    finding = re.split(r"^## ", (study / TEMPLATE).read_text(encoding="utf-8"), flags=re.MULTILINE)
    [words] = [part for part in finding if part.startswith(SECTIONS[2])]
    plain = re.sub(r"{{.*?}}|\[.*?\]\(.*?\)|`.*?`", "", words, flags=re.DOTALL)
    assert re.findall(r"-?\d+\.\d+ (?:nats|±)|± \d", plain) == []


def test_the_contents_page_is_what_the_pages_say() -> None:
    assert (NOTEBOOK / "README.md").read_text(encoding="utf-8") == contents_text(NOTEBOOK)
