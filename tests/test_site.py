"""The site of docs/ is built without a warning, its links lead somewhere, and it loads nothing from elsewhere."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import promptmlr
from test_readme import ROOT

pytestmark = pytest.mark.slow


class Seen(HTMLParser):
    """What a page links to, what it loads, and the places in it."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.places: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.places |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif "src" in found or (tag == "link" and "href" in found):
            self.loaded.append(found.get("src") or found["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    environment |= {"PYTHONPATH": str(ROOT / "src"), "NO_MKDOCS_2_WARNING": "1"}  # an advertisement, else
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Seen]:
    found = {page: Seen(page) for page in sorted(site.rglob("*.html")) if page.name != "404.html"}
    assert len(found) > 20
    return found


def test_links_lead_somewhere(pages: dict[Path, Seen]) -> None:
    broken = []
    for page, seen in pages.items():
        for link in [*seen.links, *seen.loaded]:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "mailto", "data"):
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if target.is_dir():
                target /= "index.html"
            places = pages[target].places if target in pages else {unquote(parts.fragment)}
            if not target.is_file() or (parts.fragment and unquote(parts.fragment) not in places):
                broken.append((page.name, link))
    assert not broken


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Seen]) -> None:
    assert not {url for seen in pages.values() for url in seen.loaded if urlsplit(url).netloc}
    for sheet in site.rglob("*.css"):
        assert "url(http" not in sheet.read_text(encoding="utf-8")


def test_every_public_name_is_in_the_reference(pages: dict[Path, Seen]) -> None:
    places = {place for page, seen in pages.items() if page.parent.name == "reference" for place in seen.places}
    for name in set(promptmlr.__all__) - {"METHODS"}:
        found = getattr(promptmlr, name)
        where = found.__name__ if name in ("functional", "scenes") else f"{found.__module__}.{found.__qualname__}"
        assert where in places, name


def test_the_site_starts_with_the_readme(site: Path) -> None:
    start = (site / "index.html").read_text(encoding="utf-8")
    assert "tutorial.html" in start
    assert "how-to/labels.html" in start
    assert "reference/functional.html#promptmlr.functional" in start
    assert "<!-- shown" not in start
