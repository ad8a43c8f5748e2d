"""Show the repository as a site: every page is named by its path in the checkout, also those that lie outside docs/.

So a relative link that works in the checkout, and on a git host, works on the site as it stands, and mkdocs checks it.
A link to a file that is no page of the site leads to that file in the repository.
"""

import posixpath
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

from markdown import Markdown
from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
OUTSIDE_DOCS = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "conf/README.md",
    "experiments/**/README.md",
    "experiments/**/*.png",
    "experiments/**/*.csv",
    "vae_lightning/theory/README.md",
)
NOT_IN_ADDRESSES = ("docs/", "vae_lightning/")


def matching(pattern: str) -> list[str]:
    """Return the files of the checkout that a pattern names. A README sorts before what its folder holds."""
    return sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern))


def with_patterns_filled_in(nav: Any) -> Any:
    """Put in place of a pattern the pages that there are, so that a new study is in the notebook by itself."""
    if isinstance(nav, dict):
        return {title: with_patterns_filled_in(under) for title, under in nav.items()}
    if isinstance(nav, list):
        return [
            filled
            for entry in nav
            for filled in (matching(entry) if isinstance(entry, str) else [with_patterns_filled_in(entry)])
        ]
    return nav


class LinksToTheRepository(Treeprocessor):
    """Turn a relative link to a file that the site does not have into one to the repository."""

    def __init__(self, blob: str) -> None:
        super().__init__()
        self.blob = blob
        self.page = ""
        self.on_site: frozenset[str] = frozenset()

    def run(self, root: Element) -> None:
        """Look at every link of the page that is being written."""
        for link in root.iter("a"):
            link.set("href", self.leading_to(link.get("href", "")))

    def leading_to(self, target: str) -> str:
        """Return the address for a link. One that leads nowhere stays, and mkdocs says so."""
        parts = urlsplit(target)
        if parts.scheme or parts.netloc or not parts.path or parts.path.startswith("/"):
            return target
        path = posixpath.normpath(posixpath.join(posixpath.dirname(self.page), parts.path))
        if path in self.on_site or path.startswith("..") or not (ROOT / path).exists():
            return target
        return f"{self.blob}{path}" + (f"#{parts.fragment}" if parts.fragment else "")


class RepositoryExtension(Extension):
    """The link rule as an extension of Markdown, whose parser knows what is a link and what only looks like one."""

    def __init__(self, rule: LinksToTheRepository) -> None:
        super().__init__()
        self.rule = rule

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 (Markdown's name)
        """Run before mkdocs resolves relative links, which has priority 0."""
        md.treeprocessors.register(self.rule, "repository", 1)


def rule_of(config: MkDocsConfig) -> LinksToTheRepository:
    """Return the link rule of this build."""
    extensions: list[Any] = config.markdown_extensions
    return next(each.rule for each in extensions if isinstance(each, RepositoryExtension))


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Take the repository's address from pyproject.toml, and the studies from the folders that are there."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    config.repo_url = urls["Repository"]
    config.repo_name = urlsplit(config.repo_url).path.rpartition("/")[2]
    config.edit_uri = "edit/main/"
    config.nav = with_patterns_filled_in(config.nav)
    extensions: list[Any] = config.markdown_extensions
    extensions.append(RepositoryExtension(LinksToTheRepository(f"{config.repo_url}/blob/main/")))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Name every page by its path in the checkout, and give it an address without the folders that say nothing."""

    def file(path: str, like: File | None = None) -> File:
        made = File(path, str(ROOT), config.site_dir, config.use_directory_urls)
        for prefix in NOT_IN_ADDRESSES:
            made.dest_uri = made.dest_uri.removeprefix(prefix)
        if made.is_documentation_page():
            made.dest_uri = made.dest_uri.lower()
        if like:
            made.inclusion = like.inclusion
        return made

    docs = Path(config.docs_dir).relative_to(ROOT).as_posix()
    ours = [file(f"{docs}/{each.src_uri}", each) for each in files if each.src_dir == config.docs_dir]
    outside = [file(path) for pattern in OUTSIDE_DOCS for path in matching(pattern)]
    of_the_theme = [each for each in files if each.src_dir != config.docs_dir]
    shown = (each for each in (*ours, *outside) if each.inclusion.is_included())  # the others are in the repository
    rule_of(config).on_site = frozenset(each.src_uri for each in shown)
    return Files([*ours, *outside, *of_the_theme])


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Remember which page is being written; they are written one after another."""
    rule_of(config).page = page.file.src_uri
    return markdown


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Leave the link to the repository, without the script that would ask the host for its stars and forks."""
    return output.replace(' data-md-component="source"', "")
