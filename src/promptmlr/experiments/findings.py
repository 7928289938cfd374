"""What a measurement found, once: as text for the terminal, and as a page."""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from promptmlr.experiments.tables import table_lines
from promptmlr.report import Report

__all__ = ["Finding", "Lines", "Table", "as_page", "as_text"]

WIDTH = 100  # of printed paragraphs


@dataclass(frozen=True)
class Table:
    """Rows under a header.

    Attributes:
        caption: what they show, and in which file their numbers are; of the page alone.
        header: names of the columns.
        rows: cells.
        words: how many columns, from the left, hold words; the others hold numbers.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1


@dataclass(frozen=True)
class Lines:
    """Lines that belong together, under a heading or under none."""

    heading: str | None
    items: Sequence[str]


Finding = Table | Lines | str  # a str is a paragraph


def as_text(findings: Iterable[Finding]) -> str:
    """For a terminal: blocks apart by an empty line."""
    return "\n\n".join(map(_text, findings))


def as_page(title: str, lead: str, findings: Iterable[Finding]) -> Report:
    """The same as a page."""
    page = Report(title, lead)
    for finding in findings:
        if isinstance(finding, Table):
            page.table(finding.header, finding.rows, caption=finding.caption, words=finding.words)
        elif isinstance(finding, Lines):
            if finding.heading is not None:
                page.subsection(finding.heading)
            page.bullets(finding.items)
        else:
            page.paragraph(finding)
    return page


def _text(finding: Finding) -> str:
    if isinstance(finding, Table):
        return "\n".join(table_lines(finding.header, finding.rows, finding.words))
    if isinstance(finding, Lines):
        if finding.heading is None:
            return "\n".join(finding.items)
        return "\n".join([f"{finding.heading}:", *(f"  {item}" for item in finding.items)])
    return textwrap.fill(finding, WIDTH)
