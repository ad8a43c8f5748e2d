"""What the pages name is there: files, commands, options."""

import re
from pathlib import Path

import pytest
from test_house import HOUSE

from vae_lightning.__main__ import COMMANDS
from vae_lightning.composing import config_folder

REPOSITORY = Path(__file__).parents[2]
PAGES = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md"), REPOSITORY / "conf" / "README.md"]
PAGES += REPOSITORY.glob("experiments/**/README.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    relative = [target for target in targets if not target.startswith(("http://", "https://"))]
    assert [target for target in relative if not (page.parent / target).exists()] == []


def test_every_page_of_the_docs_is_reached_from_the_readme() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in REPOSITORY.glob("docs/*.md") if f"(docs/{page.name})" not in readme] == []


def test_the_readme_fits_on_two_screens_and_names_the_tests() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 110
    assert {"`make test`", "`make test-all`"} <= set(re.findall(r"`make [\w-]+`", readme))


def test_the_table_of_rooms_is_the_one_that_imports_follow() -> None:
    page = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`vae_lightning/.*?) \|", page, re.MULTILINE)
    names = [name.removeprefix("vae_lightning/") for cell in cells for name in re.findall(r"`(.*?)`", cell)]
    assert [name.removesuffix("/").removesuffix(".py") for name in names] == [*HOUSE, "__main__"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_command_and_option_of_a_page_is_one(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    commands = set(re.findall(r"(?<![\w/-])vae-([a-z][a-z-]*)(?= |`)", text)) - {"lightning"}
    assert commands <= set(COMMANDS)
    groups = "|".join(folder.name for folder in config_folder().iterdir() if folder.is_dir() and folder.name != "hydra")
    chosen = re.findall(rf"(?<![\w./-])({groups})=([a-z_][a-z_,]*)", text)
    missing = [
        f"{group}={option}"
        for group, options in chosen
        for option in filter(None, options.split(","))
        if not (config_folder() / group / f"{option}.yaml").exists()
    ]
    assert missing == []
