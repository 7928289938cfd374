"""The page as a browser parses it, with Python's own HTML parser as the reader."""

import base64
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from promptmlr.errors import EnvironmentFault
from promptmlr.files import write_text
from promptmlr.report import figures
from promptmlr.report.figures import figure_jpeg, figure_png, image_png
from promptmlr.report.findings import MARKS, Card, Cards, Code, Finding, Heading, Lines, Picture, Table
from promptmlr.report.page import as_page

VOID = {"meta", "img", "br", "link"}
HOSTILE = "<script>alert('x')</script> & \"quoted\" 'words'"


class Page(HTMLParser):
    """Elements with their attributes and text; fails on a page that is not well nested."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[tuple[str, dict[str, str], list[str]]] = []
        self.elements: list[tuple[str, dict[str, str], str]] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs) -> None:
        if tag in VOID:
            self.elements.append((tag, dict(attrs), ""))
        else:
            self.open.append((tag, dict(attrs), []))

    def handle_data(self, data: str) -> None:
        for _, _, text in self.open:
            text.append(data)

    def handle_endtag(self, tag: str) -> None:
        opened, attributes, text = self.open.pop()
        assert opened == tag
        self.elements.append((tag, attributes, "".join(text)))

    def texts(self, tag: str) -> list[str]:
        return [text for name, _, text in self.elements if name == tag]

    def attributes(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes, _ in self.elements if name == tag]


@pytest.fixture
def png() -> bytes:
    return image_png(np.full((4, 6, 3), 90, np.uint8))


def of(*findings: Finding) -> str:
    """A page of these."""
    return as_page("t", "l", findings)


def full_page(png: bytes, text: str) -> str:
    findings: list[Finding] = [
        Heading(text),
        Lines(text, [text]),
        text,
        Code([text]),
        Table(text, [text, text], [[text, text]]),
        Picture(lambda: png, alt=text, caption=text),
        Cards([Card(png, text, text, [("right", text)])]),
    ]
    return as_page(text, text, findings)


def test_every_text_is_escaped(png: bytes) -> None:
    page = Page(full_page(png, HOSTILE))
    assert page.texts("script") == Page(of()).texts("script")
    for tag in ("title", "h1", "h2", "caption", "figcaption", "code", "p"):
        assert HOSTILE in page.texts(tag), tag
    assert page.texts("h3") == [HOSTILE, HOSTILE]
    assert [attributes["alt"] for attributes in page.attributes("img")] == [HOSTILE, HOSTILE]
    assert page.texts("td") == [HOSTILE]


def test_page_stands_alone_and_says_what_it_is(png: bytes) -> None:
    html = full_page(png, "text")
    page = Page(html)
    assert html.startswith("<!doctype html>")
    assert page.attributes("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.attributes("meta")
    assert page.attributes("script") == [{}]
    assert not page.attributes("link")
    assert not re.search(r"https?:|url\(|@import", html)
    assert all(attributes["src"].startswith("data:image/png;base64,") for attributes in page.attributes("img"))


def test_pictures_arrive_as_they_were(png: bytes) -> None:
    source = Page(of(Picture(lambda: png, alt="a", caption="c"))).attributes("img")[0]["src"]
    assert base64.b64decode(source.split(",")[1]) == png


def test_table_names_rows_and_columns_and_sets_numbers_right() -> None:
    page = Page(of(Table("cap", ["a", "b", "c"], [["x", "y", "1"], ["z", "w", "2"]], words=2, strong=[1])))
    assert [attributes["scope"] for attributes in page.attributes("th")] == ["col"] * 3 + ["row"] * 2
    assert page.texts("td") == ["y", "1", "w", "2"]
    assert [attributes.get("class") for attributes in page.attributes("td")] == [None, "number"] * 2
    assert [attributes.get("class") for attributes in page.attributes("tr")] == [None, None, "strong"]


def test_ragged_table_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        of(Table("c", ["a", "b"], [["x", "1", "2"]]))


def test_marks_differ_without_colour(png: bytes) -> None:
    cards = Cards([Card(png, "a", "h", [("right", "one"), ("wrong", "two"), ("missed", "three")])])
    lines = [text for text in Page(of(cards)).texts("li") if "\n" not in text]
    assert {f"{MARKS['right']} one", f"{MARKS['wrong']} two", f"{MARKS['missed']} three"} <= set(lines)
    assert len(set(MARKS.values())) == 3


@pytest.mark.parametrize(("save", "kind"), [(figure_png, "png"), (figure_jpeg, "jpeg")])
def test_a_figure_has_the_width_asked_for_and_its_type_is_named(save, kind: str) -> None:
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([0, 1])
    content = save(figure, 450)
    image = Image.open(io.BytesIO(content))
    assert (image.format, image.size) == (kind.upper(), (450, 300))
    assert f"data:image/{kind};base64," in of(Picture(lambda: content, alt="a", caption="c"))


def test_write_replaces_the_page_alone(tmp_path, png: bytes) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    for text in ("old", "näw"):
        page = as_page(text, text, [])
        write_text(tmp_path / "index.html", page)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.html", "mine.txt"]
    assert (tmp_path / "index.html").read_text(encoding="utf-8") == page
    assert Page(page).texts("h1") == ["näw"]


def test_a_folder_in_the_way_is_one_line(tmp_path) -> None:
    (tmp_path / "index.html").mkdir()
    with pytest.raises(EnvironmentFault, match=r"index\.html"):
        write_text(tmp_path / "index.html", of())


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium here to click with")
@pytest.mark.parametrize(
    ("clicks", "order"),
    [([], "bacd"), ([1], "abcd"), ([1, 1], "cbad"), ([0], "abcd"), ([0, 0], "dcba"), ([1, 0], "abcd")],
)
def test_a_click_on_its_head_sorts_a_column(tmp_path: Path, clicks: list[int], order: str) -> None:
    """Numbers by value, whatever stands behind them, and what is no number last."""
    rows = [["b", "64.1 (62 to 65)"], ["a", "−3.0 (−4 to 1)"], ["c", "1,200"], ["d", "–"]]
    page = of(Table("x", ["name", "mAP"], rows))
    click = "".join(f"document.querySelectorAll('th button')[{column}].click();" for column in clicks)
    path = tmp_path / "page.html"
    path.write_text(page.replace("</body>", f"<script>{click}</script></body>"), encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", path.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert "".join(re.findall(r'<th scope="row">(.)</th>', shown)) == order


def test_letters_that_no_font_has_are_one_line(caplog, recwarn) -> None:
    figure = Figure()
    figure.text(0.5, 0.5, "dog")
    figure_png(figure, 300)
    assert not caplog.records
    figure.text(0.5, 0.7, "\U000f0000")  # nobody's letter
    assert figure_png(figure, 300).startswith(b"\x89PNG")
    [record] = caplog.records
    assert "drawn as boxes" in record.message
    assert not recwarn.list


def test_installed_fonts_are_tried_for_other_letters(monkeypatch) -> None:
    monkeypatch.setattr(figures, "_FONTS", ("Nobody's Font", "DejaVu Serif"))
    figure = Figure()
    text = figure.text(0.5, 0.5, "dog")
    figure_png(figure, 300)
    assert text.get_fontfamily() == ["DejaVu Sans", "DejaVu Serif"]
