"""Rows as CSV, Markdown and plain text, and formatted numbers."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from promptmlr.errors import UserError
from promptmlr.files import write_text

__all__ = ["csv_text", "markdown_table", "percent_interval", "signed", "table_lines", "write_csv"]

UNFOLDED = 10_000  # letters, wider than any table
_FIRST = 3  # columns that a table has had from its first version on


def csv_text(columns: Sequence[str], records: Iterable[Mapping[str, object]]) -> str:
    """A header line and a line per record."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def write_csv(path: Path, columns: Sequence[str], records: Iterable[Mapping[str, object]]) -> None:
    """The same as a file; an older one is replaced, also one from before some of these columns were added.

    Raises:
        UserError: there is a file with another header, which is somebody's own.
        EnvironmentFault: it cannot be written.
    """
    text = csv_text(columns, records)
    if path.is_file():
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            if not _ours(file.readline().rstrip("\n").split(","), columns):
                raise UserError(f"{path} is another table and would be lost; rename it, or choose another folder")
    write_text(path, text)


def _ours(header: Sequence[str], columns: Sequence[str]) -> bool:
    """Whether a header is the columns, or those of an older version: the first, and some of the others in order."""
    rest = iter(columns)
    return list(header[:_FIRST]) == list(columns[:_FIRST]) and all(name in rest for name in header)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], words: int) -> str:
    """A table as Markdown: the first `words` columns are left-aligned, the others right-aligned."""
    lines = [header, ["---" if column < words else "---:" for column in range(len(header))], *rows]
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join("| " + " | ".join(line) + " |" for line in escaped)


def percent_interval(value: float, low: float, high: float) -> str:
    """Three fractions as "64.1 (62.9 to 65.3)"."""
    return f"{100 * value:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def signed(points: float) -> str:
    """A number with its sign as + or − (U+2212); never a negative zero."""
    return f"{points:+.1f}".replace("-0.0", "+0.0").replace("-", "−")


def table_lines(
    header: Sequence[str], rows: Sequence[Sequence[str]], words: int, width: int | None = None
) -> list[str]:
    """A table as text: the first `words` columns are left-aligned, the others right-aligned.

    Args:
        header: names of the columns.
        rows: their cells.
        words: number of columns, from the left, that hold text.
        width: in characters; the cells of wider tables are folded into several lines. None folds nothing.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column, name in enumerate(header):
        table.add_column(Text(name), justify="left" if column < words else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    page = io.StringIO()
    Console(file=page, width=width or UNFOLDED, color_system=None).print(table)
    return [line.rstrip() for line in page.getvalue().splitlines()]
