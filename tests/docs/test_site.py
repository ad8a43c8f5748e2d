"""The site of the docs: every link leads somewhere, it fetches nothing from elsewhere, and names the whole library."""

import importlib.util
import mimetypes
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import pytest

import vae_lightning

REPOSITORY = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOST = "http://site.test/"
LOADING = {"src", "srcset", "poster", "data"}
READ_BY_NOBODY = {"canonical", "prev", "next"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not importlib.util.find_spec("mkdocs") or not importlib.util.find_spec("mkdocstrings"),
        reason="mkdocs-material and mkdocstrings are not installed",
    ),
    pytest.mark.skipif(not (REPOSITORY / "mkdocs.yml").exists(), reason="the site is built from a checkout"),
]


class Html(HTMLParser):
    """What a page links to, what it loads by itself, and where one can jump to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag == "link" and not READ_BY_NOBODY & set(found.get("rel", "").split()):
            self.loaded.append(found["href"])
        self.loaded += [found[name] for name in LOADING & set(found)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site; a warning is an error (but not with --quiet, which keeps it from being counted)."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=REPOSITORY, env=environment, check=False, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Html]:
    """Return the pages by their addresses."""
    return {
        urljoin(HOST, path.relative_to(site).as_posix()): Html(path.read_text(encoding="utf-8"))
        for path in site.rglob("*.html")
    }


def file_at(site: Path, address: str) -> Path:
    path = site / unquote(urlsplit(address).path).lstrip("/")
    return path / "index.html" if path.is_dir() else path


def test_every_link_and_anchor_leads_somewhere(site: Path, pages: dict[str, Html]) -> None:
    lost = []
    for address, page in pages.items():
        for link in {*page.links, *page.loaded}:
            target, _, anchor = urljoin(address, link).partition("#")
            if not target.startswith(HOST):
                continue
            path = file_at(site, target)
            there = pages.get(urljoin(HOST, path.relative_to(site).as_posix()))
            # A tab that the theme opens by a script is named by an anchor that begins with two underscores.
            if not path.is_file() or (there and unquote(anchor) not in there.anchors and not anchor.startswith("__")):
                lost.append((address, link))
    assert lost == []


def test_a_link_to_a_file_beside_the_site_leads_to_the_repository_where_the_file_is(pages: dict[str, Html]) -> None:
    links = {link for page in pages.values() for link in page.links}
    into = {match[1] for link in links if (match := re.search(r"/(?:blob|edit)/main/([^#]+)", link))}
    assert "vae_lightning/theory/README.md" in into  # the page's source
    assert [path for path in into if not (REPOSITORY / path).exists()] == []


def test_nothing_is_loaded_from_another_host(site: Path, pages: dict[str, Html]) -> None:
    loaded = {(page, each) for page, html in pages.items() for each in html.loaded}
    for style in site.rglob("*.css"):
        address = urljoin(HOST, style.relative_to(site).as_posix())
        named = re.findall(r"(?:url\(|@import )\s*[\"']?([^)\"';]+)", style.read_text(encoding="utf-8"))
        loaded |= {(address, each) for each in named}
    addresses = {(page, urljoin(page, each)) for page, each in loaded}
    assert len(addresses) > len(pages)
    assert {each for each in addresses if not each[1].startswith((HOST, "data:"))} == set()


@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
def test_in_a_browser_the_site_asks_nobody_else_and_finds_words(site: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    asked: list[str] = []

    def answer(route: Any) -> None:
        path = file_at(site, route.request.url)
        if not route.request.url.startswith(HOST) or not path.is_file():
            asked.append(route.request.url)
            route.abort()
        else:
            route.fulfill(body=path.read_bytes(), content_type=mimetypes.guess_type(path)[0] or "text/plain")

    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 390, "height": 844})
        context.route("**/*", answer)
        page = context.new_page()
        for each in ("index.html", "api/theory.html", "experiments/quick/index.html"):
            page.goto(HOST + each)
            page.wait_for_load_state("networkidle")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # only tables and code scroll
        page.goto(HOST + "index.html?q=reverse+water-filling")
        page.wait_for_selector(".md-search-result__link[href*='theory/']", state="attached")
        browser.close()
    assert asked == []


def test_every_public_name_has_an_entry(pages: dict[str, Html]) -> None:
    names = [name for name in getattr(vae_lightning, "__all__", []) if not name.startswith("_")]
    entries = {anchor for address, page in pages.items() if "/api/" in address for anchor in page.anchors}
    assert "vae_lightning.theory.forecast" in entries
    assert [name for name in names if f"vae_lightning.{name}" not in entries] == []
