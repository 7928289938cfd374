"""One self-contained HTML page: text, tables, figures and cards, with the pictures inside it.

Everything given as text is escaped. Tables and figures scroll by themselves where a screen is narrow. A click on the
head of a column sorts its table; that is all the script does, and without it the page is complete.
"""

import base64
import io
import logging
import warnings
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font_names
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image

from promptmlr.files import write_text

__all__ = ["MARKS", "Card", "Mark", "Report", "figure_jpeg", "figure_png", "image_png"]

Mark = Literal["right", "wrong", "missed"]

MARKS: dict[Mark, str] = {"right": "✓", "wrong": "✗", "missed": "○"}

_FONTS = (
    *(
        "Noto Sans CJK JP",
        "Noto Sans CJK SC",
        "Noto Sans CJK KR",
        "Hiragino Sans",
        "PingFang SC",
        "Apple SD Gothic Neo",
    ),
    *("Yu Gothic", "Microsoft YaHei", "Malgun Gothic", "Nirmala UI", "Noto Sans", "Noto Sans Arabic"),
    *("Noto Sans Devanagari", "Noto Sans Thai", "Arial Unicode MS", "WenQuanYi Zen Hei", "IPAGothic"),
)
"""Where letters are looked for that matplotlib's own font lacks, of those that are installed."""

_LOG = logging.getLogger(__name__)

_STYLE = """
:root { color-scheme: light; --ink: #1b2330; --faint: #566072; --line: #d9dee6; --panel: #f5f7fa; --accent: #1a5fb4;
  --right: #1d6b3c; --wrong: #a51d2d; --missed: #7a4b00; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff; font: 1.0625rem/1.6 system-ui, "Segoe UI", Roboto, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 2.1rem; line-height: 1.2; margin: 0 0 .5rem; letter-spacing: -.015em; }
h2 { font-size: 1.4rem; line-height: 1.3; margin: 3rem 0 .75rem; padding-top: 1.25rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1.1rem; line-height: 1.3; margin: 2rem 0 .4rem; }
p, ul { max-width: 44rem; margin: 0 0 1rem; }
.lead { font-size: 1.2rem; color: var(--faint); }
.scroll { overflow-x: auto; margin: 0 0 1.25rem; background:
    linear-gradient(90deg, #fff 2rem, #fff0) left / 4rem 100% no-repeat local,
    linear-gradient(270deg, #fff 2rem, #fff0) right / 4rem 100% no-repeat local,
    linear-gradient(90deg, #1b233055, #1b233000) left / .8rem 100% no-repeat scroll,
    linear-gradient(270deg, #1b233055, #1b233000) right / .8rem 100% no-repeat scroll; } /* shadows where more lies */
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--faint); padding-bottom: .5rem; }
th, td { padding: .4rem 1.5rem .4rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: baseline; }
th { font-weight: 600; }
tbody th { font-weight: 400; min-width: 9rem; }
thead th { border-bottom: 2px solid var(--ink); vertical-align: bottom; }
.number { text-align: right; white-space: nowrap; }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
th button::after { content: " ↕"; color: var(--faint); font-weight: 400; }
th[aria-sort="ascending"] button::after { content: " ↑"; color: var(--ink); }
th[aria-sort="descending"] button::after { content: " ↓"; color: var(--ink); }
@media print { th button::after { content: ""; } }
.strong > * { font-weight: 700; background: #e9f1fb; }
figure { margin: 0 0 1.5rem; }
figure img { display: block; width: 100%; height: auto; }
figcaption { max-width: 44rem; color: var(--faint); font-size: .95rem; margin-top: .5rem; }
.cards { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); list-style: none;
  max-width: none; margin: 0 0 1rem; padding: 0; }
.card { border: 1px solid var(--line); border-radius: .5rem; overflow: hidden; background: var(--panel); }
.card img { display: block; width: 100%; height: auto; }
.card div { padding: .75rem .9rem; }
.card h3 { font-size: 1rem; margin: 0 0 .4rem; }
.card ul { list-style: none; margin: 0; padding: 0; font-size: .95rem; line-height: 1.5; }
.right { color: var(--right); } .wrong { color: var(--wrong); } .missed { color: var(--missed); }
pre { overflow-x: auto; padding: 1rem 1.1rem; background: #1b2330; color: #f3f6fa; border-radius: .5rem;
  font: .95rem/1.7 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
@media (max-width: 40rem) { table { font-size: .85rem; } th, td { padding-right: .7rem; } }
"""

_SCRIPT = """
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  if (body.rows.length < 2) continue;
  heads.forEach((head, column) => {
    const value = row => {
      const text = row.cells[column].textContent.trim();
      const number = parseFloat(text.replace("\u2212", "-").replace(/(\\d),(?=\\d{3})/g, "$1"));
      return [Number.isNaN(number), number, text];
    };
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].map(row => [value(row), row]).sort(([a], [b]) =>
        a[0] - b[0] || (down ? -1 : 1) * (a[0] ? a[2].localeCompare(b[2]) : a[1] - b[1]));
      body.append(...rows.map(([, row]) => row));
    });
  });
}
"""


@dataclass(frozen=True)
class Card:
    """A picture with a few marked lines under it.

    Attributes:
        picture: PNG or JPEG.
        alt: what it shows, for those who do not see it.
        heading: the first line.
        lines: a mark and the words beside it; the words must do without the mark's colour.
    """

    picture: bytes
    alt: str
    heading: str
    lines: Sequence[tuple[Mark, str]]


class Report:
    """A page, written from top to bottom.

    Args:
        title: of the page.
        lead: what it says, in a sentence or two.
    """

    def __init__(self, title: str, lead: str) -> None:
        self.title = title
        self._parts = [f'<h1>{escape(title)}</h1>\n<p class="lead">{escape(lead)}</p>']

    def section(self, heading: str) -> None:
        """Begin a section; all that follows belongs to it."""
        self._parts.append(f"<h2>{escape(heading)}</h2>")

    def subsection(self, heading: str) -> None:
        """Begin a part of a section."""
        self._parts.append(f"<h3>{escape(heading)}</h3>")

    def paragraph(self, text: str) -> None:
        """A paragraph."""
        self._parts.append(f"<p>{escape(text)}</p>")

    def bullets(self, items: Iterable[str]) -> None:
        """A list."""
        self._parts.append("<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>")

    def code(self, lines: Iterable[str]) -> None:
        """Commands or code, as they stand; they can be reached by keyboard where they scroll."""
        self._parts.append(f'<pre tabindex="0"><code>{escape(chr(10).join(lines))}</code></pre>')

    def table(
        self,
        header: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        caption: str,
        words: int = 1,
        strong: Container[int] = (),
    ) -> None:
        """A table.

        Args:
            header: K column names.
            rows: K cells each; the first names its row.
            caption: what the table shows.
            words: how many columns, from the left, hold words; the others hold numbers, set to the right.
            strong: the indices of rows that stand out.
        """
        kinds = ["" if column < words else ' class="number"' for column in range(len(header))]
        head = "".join(f'<th scope="col"{kind}>{escape(cell)}</th>' for kind, cell in zip(kinds, header, strict=True))
        body = []
        for index, row in enumerate(rows):
            name, *cells = [escape(cell) for cell in row]
            tail = "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds[1:], cells, strict=True))
            mark = ' class="strong"' if index in strong else ""
            body.append(f'<tr{mark}><th scope="row">{name}</th>{tail}</tr>')
        self._parts.append(
            f'<div class="scroll" tabindex="0"><table><caption>{escape(caption)}</caption>\n'
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(body) + "\n</tbody></table></div>"
        )

    def figure(self, picture: bytes, *, alt: str, caption: str, least: int = 0) -> None:
        """A picture over the full width.

        Args:
            picture: PNG or JPEG.
            alt: what it shows, for those who do not see it.
            caption: what to see in it.
            least: the width below which it scrolls instead of shrinking, in times the height of a letter (rem).
        """
        image = f'<div style="min-width: {least}rem">{_img(picture, alt)}</div>'
        self._parts.append(
            f'<figure><div class="scroll" tabindex="0">{image}</div><figcaption>{escape(caption)}</figcaption></figure>'
        )

    def cards(self, cards: Iterable[Card]) -> None:
        """Pictures side by side, as many as the screen holds."""
        self._parts.append('<ul class="cards">\n' + "\n".join(map(_card, cards)) + "\n</ul>")

    def html(self) -> str:
        """The whole page."""
        content = "\n".join(self._parts)
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape(self.title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
            f"<body>\n<main>\n{content}\n</main>\n<script>{_SCRIPT}</script>\n</body>\n</html>\n"
        )

    def write(self, path: str | Path) -> None:
        """Write the page as UTF-8, whole or not at all.

        Raises:
            EnvironmentFault: the file cannot be written.
        """
        write_text(path, self.html())


def figure_png(figure: Figure, width: int) -> bytes:
    """A matplotlib figure as PNG, `width` pixels wide."""
    return _drawn(figure, width, format="png", metadata={"Software": None})


def figure_jpeg(figure: Figure, width: int) -> bytes:
    """A matplotlib figure as JPEG, `width` pixels wide: for photographs, which take five times the bytes as PNG."""
    return _drawn(figure, width, format="jpeg", pil_kwargs={"quality": 88})


def image_png(pixels: NDArray[np.uint8]) -> bytes:
    """An (H, W, 3) uint8 image as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def _drawn(figure: Figure, width: int, **options: Any) -> bytes:
    """A figure as a file; class names come in all writing systems, so fonts that hold others are tried as well."""
    installed = set(get_font_names())
    families = ["DejaVu Sans", *(name for name in _FONTS if name in installed)]
    for text in figure.findobj(Text):
        text.set_fontfamily(families)
    buffer = io.BytesIO()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure.savefig(buffer, dpi=width / figure.get_figwidth(), **options)
    if any("missing from font" in str(warning.message) for warning in caught):
        _LOG.warning(
            "warning: some letters of a picture are in no installed font and drawn as boxes; install one that has "
            "them, such as Noto Sans CJK"
        )
    return buffer.getvalue()


def _img(picture: bytes, alt: str) -> str:
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return f'<img src="data:image/{kind};base64,{base64.b64encode(picture).decode()}" alt="{escape(alt)}">'


def _card(card: Card) -> str:
    lines = "".join(
        f'<li class="{mark}"><span aria-hidden="true">{MARKS[mark]}</span> {escape(text)}</li>'
        for mark, text in card.lines
    )
    text = f"<div><h3>{escape(card.heading)}</h3><ul>{lines}</ul></div>"
    return f'<li class="card">{_img(card.picture, card.alt)}{text}</li>'
