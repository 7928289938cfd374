"""The labelling queue: one suggested cell at a time, each answer written to a CSV that stays open elsewhere.

An answer is first a line of the journal, then one changed cell of the file as it is at that moment. A cell that
somebody else has filled meanwhile is shown and left alone.
"""

import secrets
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from promptmlr.data import ImageFile
from promptmlr.data.cells import LabelCells
from promptmlr.errors import EnvironmentFault, UserError
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN
from promptmlr.reporting import Reporter, counted
from promptmlr.web.journal import Entry, Journal
from promptmlr.web.label_file import LabelFile
from promptmlr.web.suggestions import Cell

__all__ = ["Answer", "LabelQueue", "Outcome", "Question", "Result", "Standing"]

Answer = Literal["present", "absent", "skip"]
Result = Literal["written", "waiting", "taken", "skipped", "undone", "nothing"]

_TEXTS = {"present": "1", "absent": "0"}
_CODES = {"1": PRESENT, "0": ABSENT}
_WORDS = {PRESENT: "present", ABSENT: "absent", UNKNOWN: "unknown"}


@dataclass(frozen=True)
class Question:
    """The cell that is asked about.

    Attributes:
        number: of the suggestion.
        suggestion: image, class, probability.
        row: of the image in the file.
    """

    number: int
    suggestion: Cell
    row: int


@dataclass(frozen=True)
class Outcome:
    """What became of an answer, and a sentence about it."""

    result: Result
    message: str


@dataclass(frozen=True)
class Standing:
    """Where the queue is.

    Attributes:
        state: whether suggestions are still being ranked.
        problem: why there is no question although there should be, or None.
        question: the next cell; None at the end.
        total: suggestions.
        answered: by this queue.
        skipped: for this time.
        filled: found filled by others.
        waiting: answers that are in the journal and not yet in the file.
        lost: answers that were in the file and are blank there again.
        undoable: whether there is an answer to take back.
        following: the number of the question after this one, for its picture.
    """

    state: Literal["ranking", "ready"]
    problem: str | None
    question: Question | None
    total: int
    answered: int
    skipped: int
    filled: int
    waiting: int
    lost: int
    undoable: bool
    following: int | None


@dataclass(frozen=True)
class _Step:
    """An answer that can be taken back."""

    number: int
    text: str | None  # None: skipped


class LabelQueue:
    """Suggestions, and what was answered. Safe to use from several threads.

    Args:
        file: the label CSV.
        journal: beside it.
        images: the folder that image ids start from, by default that of the file.
        reporter: hears what a page must not say: errors with their paths.

    Attributes:
        token: of this queue alone. Another one, after the service was started again, numbers other cells.
    """

    def __init__(
        self, file: LabelFile, journal: Journal, images: Path | None = None, reporter: Reporter | None = None
    ) -> None:
        self.token = secrets.token_hex(8)
        self.file = file
        self.journal = journal
        self._images = images or file.path.parent
        self.reporter = reporter or Reporter()
        self._lock = threading.Lock()
        self._suggestions: tuple[Cell, ...] = ()
        self._ranked = False
        self._problem: str | None = None
        self._answers: dict[int, str] = {}
        self._skipped: set[int] = set()
        self._filled: set[int] = set()
        self._history: list[_Step] = []
        self._waiting = {entry.cell: entry for entry in journal.waiting()}
        self._blanks: dict[tuple[str, str], bytes] = {}  # what cells held before they were filled

    def offer(self, suggestions: Sequence[Cell]) -> None:
        """Begin with these; those whose cell the file does not have are left out, and that is said."""
        cells = self.file.read()
        known = [one for one in suggestions if one.image_id in cells.places and one.class_name in cells.columns]
        if len(known) < len(suggestions):
            self.reporter.note(f"{len(suggestions) - len(known)} suggestions are of cells that {self.file.name} lacks")
        with self._lock:
            self._suggestions, self._ranked = tuple(known), True

    def fail(self, problem: str) -> None:
        """There will be no suggestions, because of a problem that the page may say."""
        with self._lock:
            self._ranked, self._problem = True, problem

    def standing(self) -> Standing:
        """Where the queue is now, by the file as it is now."""
        with self._lock:
            return self._standing()

    def image(self, number: int) -> ImageFile | None:
        """The image of a suggestion; None where there is no such suggestion."""
        if not 0 <= number < len(self._suggestions):
            return None
        return ImageFile(self._images / self._suggestions[number].image_id)

    def answer(self, number: int, answer: Answer) -> Outcome:
        """Take an answer, and write it to the file if that works.

        Raises:
            UserError: there is no such suggestion.
            EnvironmentFault: neither the file nor the journal can be written: the answer was not taken.
        """
        with self._lock:
            if not 0 <= number < len(self._suggestions):
                raise UserError(f"there is no suggestion {number}; load the page again")
            if number in self._answers:
                return Outcome("taken", f"answered already: {self._said(number, self._answers[number])}")
            if answer == "skip":
                self._skipped.add(number)
                self._history.append(_Step(number, None))
                return Outcome("skipped", f"skipped: {self._said(number, None)}")
            self._retry()
            return self._take(number, _TEXTS[answer])

    def undo(self) -> Outcome:
        """Take the last answer of this queue back.

        Raises:
            EnvironmentFault: the journal cannot be written.
        """
        with self._lock:
            if not self._history:
                return Outcome("nothing", "there is nothing to undo")
            step = self._history[-1]
            if step.text is not None:
                outcome = self._take_back(step)
                if outcome is not None:
                    return outcome
            self._history.pop()
            self._answers.pop(step.number, None)
            self._skipped.discard(step.number)
            return Outcome("undone", f"undone: {self._said(step.number, None)}")

    def write_again(self) -> Outcome:
        """Write what waits in the journal, and what was in the file and is no longer there.

        Raises:
            EnvironmentFault: the journal cannot be written.
        """
        with self._lock:
            lost = self._lost()
            entries = [self._entry(number, "waiting") for number in lost]
            self.journal.add(entries)
            self._waiting |= {entry.cell: entry for entry in entries}
            before = len(self._waiting)
            self._retry()
            left = len(self._waiting)
            if left:
                return Outcome("waiting", f"{counted(left, 'answer')} still cannot be written to {self.file.name}")
            return Outcome("written", f"{counted(before, 'answer')} written to {self.file.name}")

    def _standing(self) -> Standing:
        questions, problem, lost = [], self._problem, []
        try:
            lost = self._lost()
            questions = [question for question, _ in zip(self._open(), range(2), strict=False)]
        except UserError as error:
            problem = problem or str(error)
        return Standing(
            state="ready" if self._ranked else "ranking",
            problem=problem,
            question=questions[0] if questions else None,
            total=len(self._suggestions),
            answered=len(self._answers),
            skipped=len(self._skipped),
            filled=len(self._filled),
            waiting=len(self._waiting),
            lost=len(lost),
            undoable=bool(self._history),
            following=questions[1].number if len(questions) > 1 else None,
        )

    def _open(self) -> Iterator[Question]:
        """The questions that are still open, in rank order."""
        cells = self.file.read()
        for number, one in enumerate(self._suggestions):
            if number in self._answers or number in self._skipped or (one.image_id, one.class_name) in self._waiting:
                continue
            if self._code(cells, one) == UNKNOWN:
                self._filled.discard(number)
                yield Question(number, one, cells.row(one.image_id))
            else:
                self._filled.add(number)

    def _code(self, cells: LabelCells, one: Cell) -> int | None:
        """What a cell says; None where it is gone, or says something else."""
        if one.image_id not in cells.places or one.class_name not in cells.columns:
            return None
        return cells.code(one.image_id, one.class_name)

    def _lost(self) -> list[int]:
        """Answers that this queue wrote, and whose cells are blank."""
        if not self._answers:
            return []
        cells = self.file.read()
        return [
            number
            for number in self._answers
            if self._entry(number, "waiting").cell not in self._waiting
            and self._code(cells, self._suggestions[number]) == UNKNOWN
        ]

    def _take(self, number: int, text: str) -> Outcome:
        one = self._suggestions[number]
        waiting = Entry(one.image_id, one.class_name, text, "waiting")
        self.journal.add([waiting])
        try:
            before = self._fill(waiting)
        except (UserError, EnvironmentFault) as error:
            self.reporter.note(str(error))
            self._waiting[waiting.cell] = waiting
            self._answers[number] = text
            self._history.append(_Step(number, text))
            return Outcome(
                "waiting",
                f"{self.file.name} cannot be written now: {self._said(number, text)} is kept in "
                f"{self.journal.path.name} and written as soon as that works",
            )
        if before is None:
            self._filled.add(number)
            found = self.file.read().cell(one.image_id, one.class_name).strip()
            return Outcome(
                "taken", f"not written: {self._said(number, None)} was filled elsewhere meanwhile, with {found!r}"
            )
        self._answers[number] = text
        self._skipped.discard(number)
        self._history.append(_Step(number, text))
        return Outcome("written", f"{self._said(number, text)}, written to row {before.row(one.image_id)}")

    def _take_back(self, step: _Step) -> Outcome | None:
        """Give a cell back what it held; an outcome where that is not possible."""
        one, text = self._suggestions[step.number], step.text
        assert text is not None
        entry = Entry(one.image_id, one.class_name, text, "dropped")
        if entry.cell in self._waiting:
            self.journal.add([entry])
            del self._waiting[entry.cell]
            return None

        def edit(cells: LabelCells) -> LabelCells:
            return cells.with_raw(one.image_id, one.class_name, self._blanks.get(entry.cell, b""))

        try:
            before = self.file.change(one.image_id, one.class_name, _CODES[text], edit)
            lost = before is None and self._code(self.file.read(), one) == UNKNOWN  # an older copy was saved over it
        except (UserError, EnvironmentFault) as error:
            self.reporter.note(str(error))
            return Outcome("nothing", f"{self.file.name} cannot be written now; nothing was undone")
        self.journal.add([entry])
        if before is None and not lost:
            self._history.pop()
            return Outcome("taken", f"not undone: {self._said(step.number, None)} was changed elsewhere meanwhile")
        return None

    def _retry(self) -> None:
        """Write what waits; what others have answered meanwhile is dropped."""
        for entry in list(self._waiting.values()):
            try:
                before = self._fill(entry)
            except (UserError, EnvironmentFault) as error:
                self.reporter.note(str(error))
                if self._is_gone(entry):
                    continue
                return
            if before is None:
                self.reporter.note(f"not written, filled elsewhere: {entry.class_name} of {entry.image}")
            del self._waiting[entry.cell]

    def _fill(self, entry: Entry) -> LabelCells | None:
        """Write an answer of the journal to its blank cell; None where it is not blank any more."""
        image, name, text = entry.image, entry.class_name, entry.value

        def edit(cells: LabelCells) -> LabelCells:
            return cells.with_label(image, name, _CODES[text])

        before = self.file.change(image, name, UNKNOWN, edit)
        if before is not None:
            self._blanks[entry.cell] = before.raw(image, name)
        self.journal.add([Entry(image, name, text, "dropped" if before is None else "written")])
        return before

    def _is_gone(self, entry: Entry) -> bool:
        """Whether the file can be read and has no such cell; its answer then keeps waiting for it."""
        try:
            cells = self.file.read()
        except UserError:
            return False
        return entry.image not in cells.places or entry.class_name not in cells.columns

    def _entry(self, number: int, state: Literal["waiting", "dropped"]) -> Entry:
        one = self._suggestions[number]
        return Entry(one.image_id, one.class_name, self._answers[number], state)

    def _said(self, number: int, text: str | None) -> str:
        """A cell in words, with its answer; the name of an image without its folder."""
        one = self._suggestions[number]
        cell = f"{one.class_name} in {PurePath(one.image_id).name}"
        return cell if text is None else f"{cell}: {_WORDS[_CODES[text]]}"
