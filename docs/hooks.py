"""What the site has and docs/ has not: pages made of other files, and links that lead out of docs/.

Links stay as a reader of the repository needs them. On the site a link to README.md, CONTRIBUTING.md and the like goes
to the page that is made of it, one to a module to its place in the reference, one to a folder of results to a list of
its files.
"""

import os
import posixpath
import re
from pathlib import Path
from urllib.parse import quote

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from promptmlr.cli import app

ROOT = Path(__file__).resolve().parents[1]
COPIES = {
    "CHANGELOG.md": "changelog.md",
    "CITATION.cff": "CITATION.cff",
    "CONTRIBUTING.md": "contributing.md",
    "README.md": "index.md",
    "src/promptmlr/backbone/scenes.md": "miniature.md",
    "src/promptmlr/backbone/scenes-vit.md": "miniature-vit.md",
}
"""Files of the repository → where they stand on the site."""
FOLDERS = ("absence", "beyond", "claim", "design", "intervals")
"""Of results, under docs/; each gets a page that lists its files."""
COMMANDS = "reference/command-line.md"

LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
MODULE = re.compile(r"^::: (promptmlr[\w.]*)", re.MULTILINE)
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"^<!-- \w+ -->\n+(?=```)", re.MULTILINE)  # for the tests; the page needs none


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made of other files."""
    for source, page in COPIES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    for folder in FOLDERS:
        files.append(File.generated(config, f"{folder}/files.md", content=_listed(folder)))
    files.append(File.generated(config, COMMANDS, content=_commands()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Turn links to files of the repository into links of the site."""
    here = page.file.src_uri
    origin = next((source for source, copy in COPIES.items() if copy == here), f"docs/{here}")

    def turned(link: re.Match[str]) -> str:
        opening, target, anchor, closing = link.groups("")
        if ":" in target:
            return link[0]
        found, place = _on_site(posixpath.normpath(posixpath.join(posixpath.dirname(origin), target)), origin, files)
        return opening + posixpath.relpath(found, posixpath.dirname(here) or ".") + (place or anchor) + closing

    text = MARK.sub("", markdown)
    return "".join(part if part.startswith("```") else LINK.sub(turned, part) for part in FENCE.split(text))


def _on_site(target: str, origin: str, files: Files) -> tuple[str, str]:
    """A path of the repository → the file of the site, and an anchor in it."""
    if target in COPIES:
        return COPIES[target], ""
    if target.startswith("src/promptmlr/"):
        module = target.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for file in files.documentation_pages():
            if file.src_uri.startswith("reference/") and module in MODULE.findall(file.content_string):
                return file.src_uri, f"#{module}"
        raise PluginError(f"{origin} links to {target}, and no page of docs/reference says '::: {module}'")
    if not target.startswith("docs/"):
        raise PluginError(f"{origin} links to {target}, which is not on the site: add it to COPIES in docs/hooks.py")
    found = target.removeprefix("docs/")
    return (f"{found}/files.md" if found in FOLDERS else found), ""


def _listed(folder: str) -> str:
    """A page that lists the files of a folder of results."""
    lines = [f"# Files of docs/{folder}", ""]
    for place, folders, names in os.walk(ROOT / "docs" / folder):
        folders.sort()
        for name in sorted(names):
            path = (Path(place) / name).relative_to(ROOT / "docs" / folder).as_posix()
            lines.append(f"- [{path}]({quote(path)})")
    return "\n".join(lines) + "\n"


def _commands() -> str:
    """The command line, as its --help says it."""
    return app.generate_docs(recursive=True)
