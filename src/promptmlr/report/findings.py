"""The findings of a measurement, rendered as terminal text and Markdown here, and as a page in `page.py`."""

import re
import textwrap
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from promptmlr.report.tables import markdown_table, table_lines

__all__ = [
    "MARKS",
    "Card",
    "Cards",
    "Code",
    "Finding",
    "Heading",
    "Lines",
    "Mark",
    "Picture",
    "Table",
    "as_markdown",
    "as_text",
]

Mark = Literal["right", "wrong", "missed"]

MARKS: dict[Mark, str] = {"right": "✓", "wrong": "✗", "missed": "○"}

WIDTH = 100  # of printed paragraphs

_GLUE = "\N{NO-BREAK SPACE}"
_UNIT = re.compile(r"(\d) (%|px)")  # no line ends between a number and its unit


@dataclass(frozen=True)
class Heading:
    """Begins a section at level 2, or a subsection at level 3."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Table:
    """Rows under a header.

    Attributes:
        caption: what the rows show, and the file with their numbers.
        header: names of the columns.
        rows: cells.
        words: number of columns, from the left, that hold text; the others hold numbers.
        long: whether it has too many rows for a terminal.
        brief: whether it is the beginning of a long table, which the page shows in full.
        strong: indices of rows that are highlighted on the page.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    long: bool = False
    brief: bool = False
    strong: Container[int] = ()


@dataclass(frozen=True)
class Lines:
    """A group of lines with or without a heading."""

    heading: str | None
    items: Sequence[str]


@dataclass(frozen=True)
class Picture:
    """A figure, shown on the page only.

    Attributes:
        draw: returns it as PNG or JPEG.
        alt: text alternative.
        caption: text below it.
        least: minimum width in rem; below it, the figure scrolls instead of shrinking.
    """

    draw: Callable[[], bytes]
    alt: str
    caption: str
    least: int = 0


@dataclass(frozen=True)
class Code:
    """Commands or code verbatim, shown on the page only; keyboard-focusable where they scroll."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Card:
    """A picture with a few marked lines under it.

    Attributes:
        picture: PNG or JPEG.
        alt: text alternative.
        heading: the first line.
        lines: a mark and its text, which must not rely on the mark's colour.
    """

    picture: bytes
    alt: str
    heading: str
    lines: Sequence[tuple[Mark, str]]


@dataclass(frozen=True)
class Cards:
    """Cards side by side, as many as fit the screen, shown on the page only."""

    cards: Sequence[Card]


InWords = Heading | Table | Lines | str  # a str is a paragraph
Finding = InWords | Picture | Code | Cards


def as_text(findings: Iterable[Finding], width: int | None = None) -> str:
    """Text for a terminal, with empty lines between blocks; tables are folded to a width in characters if given."""
    return "\n\n".join(_text(finding, width) for finding in _in_words(findings))


def as_markdown(findings: Iterable[Finding]) -> str:
    """The same as Markdown."""
    return "\n\n".join(map(_markdown, _in_words(findings))) + "\n"


def _in_words(findings: Iterable[Finding]) -> list[InWords]:
    """The findings that text can show, without those of the page only and without empty sections."""
    kept = [one for one in findings if isinstance(one, InWords) and not (isinstance(one, Table) and one.long)]
    return [
        one
        for one, after in zip(kept, [*kept[1:], Heading("")], strict=True)
        if not (isinstance(one, Heading) and isinstance(after, Heading))
    ]


def _text(finding: InWords, width: int | None) -> str:
    if isinstance(finding, Heading):
        return f"{finding.text}\n{'─' * len(finding.text)}"
    if isinstance(finding, Table):
        return (
            ""
            if finding.long
            else "\n".join([finding.caption, *table_lines(finding.header, finding.rows, finding.words, width)])
        )
    if isinstance(finding, Lines):
        if finding.heading is None:
            return "\n".join(finding.items)
        return "\n".join([f"{finding.heading}:", *(f"  {item}" for item in finding.items)])
    kept_together = _UNIT.sub(rf"\1{_GLUE}\2", finding)
    return textwrap.fill(kept_together, min(WIDTH, width or WIDTH)).replace(_GLUE, " ")


def _markdown(finding: InWords) -> str:
    if isinstance(finding, Heading):
        return f"{'#' * finding.level} {finding.text}"
    if isinstance(finding, Table):
        return (
            ""
            if finding.long
            else f"{finding.caption}:\n\n{markdown_table(finding.header, finding.rows, finding.words)}"
        )
    if isinstance(finding, Lines):
        items = "\n".join(f"- {item}" for item in finding.items)
        return items if finding.heading is None else f"### {finding.heading}\n\n{items}"
    return finding
