"""Answers in the cells of a label CSV that other programs may change at any time.

An answer is first a line of the journal, then one changed cell of the file as it is at that moment. A cell that
somebody else has filled meanwhile is left alone.
"""

from collections.abc import Sequence
from dataclasses import replace

from promptmlr.data.cells import LabelCells
from promptmlr.data.journal import Entry
from promptmlr.errors import EnvironmentFault, UserError
from promptmlr.labels import UNKNOWN
from promptmlr.reporting import Reporter, counted
from promptmlr.web.journal import Journal
from promptmlr.web.keeping import CODES, Kept
from promptmlr.web.label_file import LabelFile

__all__ = ["InTable"]

_Cell = tuple[str, str]  # image id and class


class InTable:
    """A `Keeper` that is a CSV.

    Args:
        file: the CSV.
        journal: what waits in it is written with the next answers.
        reporter: hears what a page must not say: errors with their paths.
    """

    def __init__(self, file: LabelFile, journal: Journal, reporter: Reporter | None = None) -> None:
        self.file = file
        self.journal = journal
        self.name = file.name
        self._reporter = reporter or Reporter()
        self._waiting = {entry.cell: entry for entry in journal.answers() if entry.state == "waiting"}
        self._written: dict[_Cell, Entry] = {}
        self._blanks: dict[_Cell, bytes] = {}  # what cells held before they were filled

    def known(self) -> Sequence[Entry]:
        """What waits."""
        return list(self._waiting.values())

    def code(self, image: str, class_name: str) -> int | None:
        """As the file says, or will say once it can be written."""
        waiting = self._waiting.get((image, class_name))
        return _code(self.file.read(), (image, class_name)) if waiting is None else CODES[waiting.value]

    def row(self, image: str) -> int | None:
        """Rows are counted as the csv module does."""
        cells = self.file.read()
        return cells.row(image) if image in cells.places else None

    def put(self, entries: Sequence[Entry]) -> list[Kept]:
        """In one go: the file is written once, with what waits."""
        self.journal.add(entries)
        self._waiting |= {entry.cell: entry for entry in entries}
        done = self._fill()
        return [done.get(entry.cell, "waiting") for entry in entries]

    def take_back(self, entries: Sequence[Entry]) -> list[bool]:
        """Cells hold the same bytes again that they held before."""
        changed: set[_Cell] = set()

        def edit(cells: LabelCells) -> LabelCells:
            changed.clear()
            for entry in entries:
                code = _code(cells, entry.cell)
                if entry.cell in self._waiting or code == UNKNOWN:  # an older copy was saved over it
                    continue
                if code == CODES[entry.value]:
                    cells = cells.with_raw(*entry.cell, self._blanks.get(entry.cell, b""))
                else:
                    changed.add(entry.cell)
            return cells

        if any(entry.cell not in self._waiting for entry in entries):
            self.file.change(edit)
        self.journal.add([replace(entry, state="dropped") for entry in entries if entry.cell not in changed])
        for entry in entries:
            self._waiting.pop(entry.cell, None)
            self._written.pop(entry.cell, None)
        return [entry.cell not in changed for entry in entries]

    @property
    def waiting(self) -> int:
        """Answers that the file has not got yet."""
        return len(self._waiting)

    def ending(self) -> str | None:
        """How many answers the file got, and what waits."""
        parts = [f"{counted(len(self._written), 'answer')} written to {self.file.path}"] if self._written else []
        if self._waiting:
            parts.append(f"{counted(len(self._waiting), 'answer')} in {self.journal.path} alone, for the next start")
        return "; ".join(parts) or None

    def lost(self) -> int:
        """Answers that the file had, and whose cells are blank again."""
        return len(self._lost())

    def write_again(self) -> tuple[int, int]:
        """What waits, and what was lost."""
        entries = [replace(entry, state="waiting") for entry in self._lost()]
        self.journal.add(entries)
        self._waiting |= {entry.cell: entry for entry in entries}
        count = len(self._waiting)
        self._fill()
        return count, len(self._waiting)

    def _lost(self) -> list[Entry]:
        if not self._written:
            return []
        cells = self.file.read()
        return [entry for cell, entry in self._written.items() if _code(cells, cell) == UNKNOWN]

    def _fill(self) -> dict[_Cell, Kept]:
        """Write what waits to cells that are blank; what became of each that need not wait any longer."""
        blanks: dict[_Cell, bytes] = {}
        taken: list[_Cell] = []

        def edit(cells: LabelCells) -> LabelCells:
            blanks.clear()
            taken.clear()
            for cell, entry in self._waiting.items():
                if cell[0] not in cells.places or cell[1] not in cells.columns:
                    continue  # until there is such a cell again
                if _code(cells, cell) == UNKNOWN:
                    blanks[cell] = cells.raw(*cell)
                    cells = cells.with_label(*cell, CODES[entry.value])
                else:
                    taken.append(cell)
            return cells

        try:
            self.file.change(edit)
            written = [replace(self._waiting[cell], state="written") for cell in blanks]
            self.journal.add([*written, *(replace(self._waiting[cell], state="dropped") for cell in taken)])
        except (UserError, EnvironmentFault) as error:
            self._reporter.note(str(error))
            return {}
        for cell in taken:
            self._reporter.note(f"not written, filled elsewhere: {cell[1]} of {cell[0]}")
        self._blanks |= blanks
        self._written |= {entry.cell: entry for entry in written}
        for cell in (*blanks, *taken):
            del self._waiting[cell]
            if cell in taken:
                self._written.pop(cell, None)
        return {**dict.fromkeys(blanks, "written"), **dict.fromkeys(taken, "taken")}


def _code(cells: LabelCells, cell: _Cell) -> int | None:
    """What a cell says; None where it is gone, or says something else."""
    if cell[0] not in cells.places or cell[1] not in cells.columns:
        return None
    return cells.code(*cell)
