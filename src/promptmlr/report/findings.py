"""What a measurement found, once: as text for the terminal, as Markdown, and as a page."""

import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from promptmlr.report import Report
from promptmlr.report.tables import markdown_table, table_lines

__all__ = ["Finding", "Heading", "Lines", "Picture", "Table", "as_markdown", "as_page", "as_text"]

WIDTH = 100  # of printed paragraphs

_GLUE = "\N{NO-BREAK SPACE}"
_UNIT = re.compile(r"(\d) (%|px)")  # no line ends between a number and its unit


@dataclass(frozen=True)
class Heading:
    """Begins a part; all that follows belongs to it."""

    text: str


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
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    long: bool = False
    brief: bool = False


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


Finding = Heading | Table | Lines | Picture | str  # a str is a paragraph


def as_text(findings: Iterable[Finding], width: int | None = None) -> str:
    """For a terminal: blocks apart by an empty line; tables are folded to a width in letters where there is one."""
    return "\n\n".join(_text(finding, width) for finding in _in_words(findings))


def as_markdown(findings: Iterable[Finding]) -> str:
    """The same as a file of Markdown."""
    return "\n\n".join(map(_markdown, _in_words(findings))) + "\n"


def as_page(title: str, lead: str, findings: Iterable[Finding]) -> Report:
    """The same as a page, with pictures and long tables."""
    page = Report(title, lead)
    for finding in findings:
        if isinstance(finding, Heading):
            page.section(finding.text)
        elif isinstance(finding, Table):
            if finding.brief:
                continue
            page.table(finding.header, finding.rows, caption=finding.caption, words=finding.words)
        elif isinstance(finding, Lines):
            if finding.heading is not None:
                page.subsection(finding.heading)
            page.bullets(finding.items)
        elif isinstance(finding, Picture):
            page.figure(finding.draw(), alt=finding.alt, caption=finding.caption, least=finding.least)
        else:
            page.paragraph(finding)
    return page


def _in_words(findings: Iterable[Finding]) -> list[Heading | Table | Lines | str]:
    """Without what the page alone shows, and without headings that nothing is left of."""
    kept = [one for one in findings if not isinstance(one, Picture) and not (isinstance(one, Table) and one.long)]
    return [
        one
        for one, after in zip(kept, [*kept[1:], Heading("")], strict=True)
        if not (isinstance(one, Heading) and isinstance(after, Heading))
    ]


def _text(finding: Heading | Table | Lines | str, width: int | None) -> str:
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


def _markdown(finding: Heading | Table | Lines | str) -> str:
    if isinstance(finding, Heading):
        return f"## {finding.text}"
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
