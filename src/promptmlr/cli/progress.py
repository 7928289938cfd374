"""Progress on stderr: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from promptmlr.reporting import Reporter

__all__ = ["Progress", "Terminal", "note", "progress"]

SECONDS_BETWEEN_LINES = 10.0


def note(message: str) -> None:
    """A line for the person at the terminal; results go to stdout and files."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


class Progress:
    """How far a piece of work is. Call it with what is done, and with the total where it is known."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.begin = self.last = time.monotonic()

    def __call__(self, done: int, total: int | None = None) -> None:
        """Say how far it is, when the last word is long enough ago."""
        now = time.monotonic()
        if now - self.last < SECONDS_BETWEEN_LINES and done != total:
            return
        self.last = now
        seconds = now - self.begin
        if total is None:
            note(f"{self.label}: {done}, {done / seconds:.0f} per second")
        elif done < total:
            note(f"{self.label}: {done}/{total}, about {seconds / max(done, 1) * (total - done):.0f} s left")
        else:
            note(f"{self.label}: {done}/{total}, {seconds:.1f} s")


class _Bar(Progress):
    def __init__(self, label: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        super().__init__(label)
        self.bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("· left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self.task = self.bar.add_task(label, total=None)

    def __call__(self, done: int, total: int | None = None) -> None:
        self.bar.update(self.task, completed=done, total=total)


@contextmanager
def progress(label: str) -> Iterator[Progress]:
    """A progress display that ends with the block."""
    if not sys.stderr.isatty():
        yield Progress(label)
        return
    bar = _Bar(label)
    with bar.bar:
        yield bar


class Terminal(Reporter):
    """Speaks on stderr."""

    def note(self, message: str) -> None:
        """A line."""
        note(message)

    def progress(self, label: str) -> AbstractContextManager[Progress]:
        """A display for one piece of work."""
        return progress(label)
