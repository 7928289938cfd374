"""The outputs of a measurement: findings for terminal and page, and their numbers and figures as files."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from promptmlr.files import write_bytes, write_text
from promptmlr.report.figures import figure_png
from promptmlr.report.findings import Finding, as_markdown
from promptmlr.report.tables import write_csv

__all__ = ["Drawing", "Outputs", "Records"]


@dataclass(frozen=True)
class Records:
    """A CSV.

    Attributes:
        columns: names in its header.
        rows: column → value; missing columns are blank.
    """

    columns: Sequence[str]
    rows: Iterable[Mapping[str, Any]]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> "Records":
        """Records of at least one row, with the columns of the first."""
        return cls(list(rows[0]), rows)


@dataclass(frozen=True, eq=False)
class Drawing:
    """A PNG.

    Attributes:
        figure: drawn.
        width: in pixels.
    """

    figure: Figure
    width: int


class Outputs(ABC):
    """The report of a measurement.

    Attributes:
        title: of its page.
        lead: its topic in a sentence.
        document: the Markdown file for all findings; None writes none.
    """

    title: str
    lead: str
    document: str | None = None

    @abstractmethod
    def findings(self) -> list[Finding]:
        """Tables, figures, and notes on them."""

    @abstractmethod
    def files(self) -> Mapping[str, Records | Drawing]:
        """File name → content: every number in the findings, and their figures."""

    def write(self, folder: Path) -> None:
        """Write all files, each atomically."""
        if self.document is not None:
            write_text(folder / self.document, as_markdown(self.findings()))
        for name, content in self.files().items():
            if isinstance(content, Records):
                write_csv(folder / name, content.columns, content.rows)
            else:
                write_bytes(folder / name, figure_png(content.figure, content.width))
