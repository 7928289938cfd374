"""Answers to data of any format: kept in the journal alone, until `promptmlr convert --answers` puts them in place."""

from collections.abc import Sequence
from dataclasses import replace

from promptmlr.data.journal import Entry
from promptmlr.labels import UNKNOWN
from promptmlr.reporting import counted
from promptmlr.web.journal import Journal
from promptmlr.web.keeping import CODES, Kept

__all__ = ["InJournal"]


class InJournal:
    """A `Keeper` that is a file which only grows.

    Args:
        journal: what it holds already counts.
        command: puts its answers in place.
    """

    waiting = 0

    def __init__(self, journal: Journal, command: str) -> None:
        self.journal = journal
        self._command = command
        self.name = journal.path.name
        self._answers = {entry.cell: entry for entry in journal.answers()}

    def known(self) -> Sequence[Entry]:
        """All that was answered before."""
        return list(self._answers.values())

    def code(self, image: str, class_name: str) -> int | None:
        """As it was answered here."""
        entry = self._answers.get((image, class_name))
        return UNKNOWN if entry is None else CODES[entry.value]

    def row(self, image: str) -> int | None:  # noqa: ARG002
        """A journal is no table."""
        return None

    def put(self, entries: Sequence[Entry]) -> list[Kept]:
        """A line for each."""
        self.journal.add(entries)
        self._answers |= {entry.cell: entry for entry in entries}
        return ["written"] * len(entries)

    def take_back(self, entries: Sequence[Entry]) -> list[bool]:
        """Another line for each."""
        self.journal.add([replace(entry, state="dropped") for entry in entries])
        for entry in entries:
            self._answers.pop(entry.cell, None)
        return [True] * len(entries)

    def ending(self) -> str | None:
        """The command that puts them in place."""
        if not self._answers:
            return None
        return f"{counted(len(self._answers), 'answer')} in {self.journal.path}; put them in place: {self._command}"

    def lost(self) -> int:
        """Nothing is ever taken out of it."""
        return 0

    def write_again(self) -> tuple[int, int]:
        """There is never anything to write."""
        return 0, 0
