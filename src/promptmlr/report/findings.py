"""What a measurement found, once: as text for the terminal and as Markdown here, as a page in `page.py`."""

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
    """Begins a section, at level 2, or a part of one, at level 3; all that follows belongs to it."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Table:
    """Rows under a header.

    Attributes:
        caption: what they show, and in which file their numbers are.
        header: names of the columns.
        rows: cells.
        words: how many columns, from the left, hold words; the others hold numbers.
        long: whether there are too many rows for a terminal.
        brief: whether it is the beginning of a long one, which the page has whole.
        strong: the indices of rows that stand out on the page.
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
    """Lines that belong together, under a heading or under none."""

    heading: str | None
    items: Sequence[str]


@dataclass(frozen=True)
class Picture:
    """A figure; of the page alone.

    Attributes:
        draw: makes it, as PNG or JPEG.
        alt: what it shows, for those who do not see it.
        caption: what to see in it.
        least: the width below which it scrolls instead of shrinking, in times the height of a letter (rem).
    """

    draw: Callable[[], bytes]
    alt: str
    caption: str
    least: int = 0


@dataclass(frozen=True)
class Code:
    """Commands or code, as they stand; of the page alone, where the keyboard reaches them if they scroll."""

    lines: Sequence[str]


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


@dataclass(frozen=True)
class Cards:
    """Pictures side by side, as many as the screen holds; of the page alone."""

    cards: Sequence[Card]


InWords = Heading | Table | Lines | str  # a str is a paragraph
Finding = InWords | Picture | Code | Cards


def as_text(findings: Iterable[Finding], width: int | None = None) -> str:
    """For a terminal: blocks apart by an empty line; tables are folded to a width in letters where there is one."""
    return "\n\n".join(_text(finding, width) for finding in _in_words(findings))


def as_markdown(findings: Iterable[Finding]) -> str:
    """The same as a file of Markdown."""
    return "\n\n".join(map(_markdown, _in_words(findings))) + "\n"


def _in_words(findings: Iterable[Finding]) -> list[InWords]:
    """Without what the page alone shows, and without headings that nothing is left of."""
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
