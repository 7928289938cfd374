"""How a job speaks: tables as text; where it stands (to nobody here, `promptmlr.cli.progress` tells the terminal)."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

__all__ = ["Progress", "Reporter", "table_lines"]

Progress = Callable[[int, int], None]  # (done, total)


class Reporter:
    """Says nothing; whoever wants to hear it overrides both methods."""

    def note(self, message: str) -> None:
        """A line."""

    def progress(self, label: str) -> AbstractContextManager[Progress]:  # noqa: ARG002
        """A display for one piece of work, called with (done, total)."""
        return nullcontext(_ignore)


def table_lines(header: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> list[str]:
    """A table as text: `words` columns set to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = []
    for row in (header, *rows):
        cells = [
            cell.ljust(width) if column < words else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def _ignore(_done: int, _total: int) -> None:
    pass
