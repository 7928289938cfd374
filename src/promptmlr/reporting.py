"""Progress and messages of long jobs: discarded here, shown on the terminal by `promptmlr.cli.progress`."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

__all__ = ["Progress", "ProgressAlone", "Reporter", "counted"]

Progress = Callable[[int, int | None], None]  # (done, total, where it is known)


class Reporter:
    """Discards progress and messages; subclasses override both methods."""

    def note(self, message: str) -> None:
        """A line."""

    def progress(self, label: str) -> AbstractContextManager[Progress]:  # noqa: ARG002
        """A display for one piece of work, called with (done, total)."""
        return nullcontext(_ignore)


class ProgressAlone(Reporter):
    """Passes progress on to another reporter and discards messages."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def progress(self, label: str) -> AbstractContextManager[Progress]:
        """A display for one piece of work."""
        return self._reporter.progress(label)


def _ignore(_done: int, _total: int | None) -> None:
    pass


def counted(number: int, thing: str) -> str:
    """A number of things: "1 run", "1,200 runs"."""
    return f"{number:,} {thing}" + ("" if number == 1 else "s")
