"""The labelling queue: pages of cells for whoever asks, what they answer, and what is left to ask.

Letters: N images, C classes.
"""

import secrets
import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from promptmlr.data import ImageRef, LabelledImages
from promptmlr.data.journal import Entry
from promptmlr.errors import EnvironmentFault, UserError
from promptmlr.labels import PRESENT, UNKNOWN, Labels
from promptmlr.reporting import Reporter, counted
from promptmlr.web.keeping import CODES, Keeper
from promptmlr.web.leases import Leases
from promptmlr.web.modes import MODES, Choice
from promptmlr.web.pages import Answer, Cell, Mode, Page
from promptmlr.web.proposals import Proposals

__all__ = ["LabelQueue", "Outcome", "Result", "Standing"]

Result = Literal["written", "waiting", "taken", "skipped", "undone", "nothing"]

AHEAD = 2  # pages of a person: the one that is shown, and the next, whose pictures are fetched
MOST_PEOPLE = 64  # at once; of more, whoever has been silent for longest begins anew
MOST_STEPS = 200  # that a person can undo

_VALUES = {"present": "1", "absent": "0"}


@dataclass(frozen=True)
class Outcome:
    """What became of the answers of a page.

    Attributes:
        result: of the page.
        message: a sentence about it.
        counts: the same of its cells.
    """

    result: Result
    message: str
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Standing:
    """Where the queue is.

    Attributes:
        state: whether the first ranking is still being made.
        problem: why there is nothing to ask although there should be, or None.
        pages: of the person who asks: the one to show, and the next.
        answered: cells, by all people.
        at_random: of these, drawn at random.
        skipped: for this time.
        filled: found filled by others.
        left: cells that are still to be asked.
        waiting: answers that are in the journal and not yet in the file.
        lost: answers that were in the file and are blank there again.
        ranked_with: answers that the newest ranking has learned from.
        undoable: whether the person has an answer to take back.
    """

    state: Literal["ranking", "ready"]
    problem: str | None
    pages: tuple[Page, ...]
    answered: int
    at_random: int
    skipped: int
    filled: int
    left: int
    waiting: int
    lost: int
    ranked_with: int
    undoable: bool


@dataclass(frozen=True)
class _Step:
    """A page as it was answered, which can be taken back; and what of it was kept."""

    page: Page
    kept: tuple[tuple[Cell, Entry], ...]


@dataclass
class _Person:
    """Somebody who labels, in one tab of one browser."""

    mode: Mode = "grid"
    column: int | None = None
    pages: list[Page] = field(default_factory=list)
    shown: str | None = None  # the page that is on the screen
    history: list[_Step] = field(default_factory=list)


class LabelQueue:
    """Pages of cells, and what was answered. Safe to use from several threads.

    Args:
        labelled: N images with their labels for C classes.
        keeper: where answers are kept.
        random_share: of cells that are drawn at random.
        seed: of these; None draws others every time.
        leases: which cells are handed out.
        reporter: hears what a page must not say: errors with their paths.

    Attributes:
        token: of this queue alone. Another one, after the service was started again, numbers other images.
        changed: set when there is something new to learn from.
    """

    def __init__(
        self,
        labelled: LabelledImages,
        keeper: Keeper,
        *,
        random_share: float = 0.1,
        seed: int | None = None,
        leases: Leases | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        self.labelled = labelled
        self.keeper = keeper
        self.reporter = reporter or Reporter()
        self.token = secrets.token_hex(8)
        self.changed = threading.Event()
        self._lock = threading.Lock()
        self._share = random_share
        self._random = np.random.default_rng(seed)
        self._leases = leases or Leases()
        self._people: OrderedDict[str, _Person] = OrderedDict()
        self._proposals: Proposals | None = None
        self._problem: str | None = None
        self._labels: Labels = labelled.labels.copy()
        self._skipped: set[tuple[int, int]] = set()
        self._filled: set[tuple[int, int]] = set()
        self._answered: dict[tuple[int, int], bool] = {}  # cell → drawn at random
        self._ranked_with = self._number = 0
        rows = {image_id: row for row, image_id in enumerate(labelled.image_ids)}
        columns = {name: column for column, name in enumerate(labelled.class_names)}
        for entry in keeper.known():
            if entry.image in rows and entry.class_name in columns:
                self._labels[rows[entry.image], columns[entry.class_name]] = CODES[entry.value]

    def propose(self, proposals: Proposals, ranked_with: int = 0) -> None:
        """Take a new ranking for pages that are still to be made; those that are handed out stay as they are.

        Args:
            proposals: of the N images and C classes.
            ranked_with: answers of this queue that it has learned from.
        """
        with self._lock:
            self._proposals, self._ranked_with = proposals, ranked_with

    def fail(self, problem: str) -> None:
        """There will be no ranking, because of a problem that the page may say."""
        with self._lock:
            self._problem = problem

    def known(self) -> tuple[Labels, int]:
        """(N, C) int8 labels as they are known now, and how many answers of this queue are among them."""
        with self._lock:
            return self._labels.copy(), len(self._answered)

    def image(self, row: int) -> ImageRef | None:
        """An image; None where there is no such row."""
        return self.labelled.images[row] if 0 <= row < len(self.labelled.images) else None

    def visit(self, name: str, mode: Mode, class_name: str | None = None) -> Standing:
        """Where a person is: the same pages as before, or the first ones.

        Args:
            name: of the person, or of the tab.
            mode: how cells are asked.
            class_name: the class to ask about in the grid; None leaves it to the queue.

        Raises:
            UserError: there is no such class.
        """
        names = self.labelled.class_names
        if class_name is not None and class_name not in names:
            raise UserError("there is no such class")
        column = None if class_name is None or mode != "grid" else names.index(class_name)
        with self._lock:
            person = self._person(name)
            if (person.mode, person.column) != (mode, column):
                self._put_back(name, person.pages)
                person.mode, person.column, person.pages = mode, column, []
            return self._standing(name, person)

    def answer(self, name: str, page_id: str, answers: Sequence[Answer]) -> tuple[Outcome, Standing]:
        """Take the answers to a page, in the order of its cells, all of them or none.

        A page that was answered before is left as it was, so that an answer may be sent twice.

        Raises:
            UserError: it is no page of this person, or has another number of cells.
            EnvironmentFault: neither the place of the answers nor the journal can be written.
        """
        with self._lock:
            person = self._person(name)
            page = next((page for page in person.pages if page.id == page_id), None)
            if page is None:
                if any(step.page.id == page_id for step in person.history):
                    return Outcome("taken", "answered already"), self._standing(name, person)
                raise UserError("this page is no longer held for you, and nothing was written")
            if len(answers) != len(page.cells):
                raise UserError(f"{len(answers)} answers to {counted(len(page.cells), 'cell')}")
            outcome, kept = self._take(page, answers)
            person.pages.remove(page)
            self._put_back(name, [page])
            given = tuple(replace(cell, proposed=one) for cell, one in zip(page.cells, answers, strict=True))
            person.history = [*person.history, _Step(replace(page, cells=given), kept)][-MOST_STEPS:]
            return outcome, self._standing(name, person)

    def undo(self, name: str) -> tuple[Outcome, Standing]:
        """Take a person's last page back, and show it again as it was answered."""
        with self._lock:
            person = self._person(name)
            outcome = self._undo(person)
            return outcome, self._standing(name, person)

    def write_again(self, name: str) -> tuple[Outcome, Standing]:
        """Write what waits in the journal, and what was in the file and is no longer there.

        Raises:
            UserError: the file cannot be read.
            EnvironmentFault: the journal cannot be written.
        """
        with self._lock:
            count, left = self.keeper.write_again()
            outcome = Outcome("written", f"{counted(count, 'answer')} written to {self.keeper.name}")
            if left:
                outcome = Outcome("waiting", f"{counted(left, 'answer')} still cannot be written to {self.keeper.name}")
            return outcome, self._standing(name, self._person(name))

    def file_name(self, row: int) -> str:
        """What an image is called on a page, without its folder."""
        return PurePath(self.labelled.images[row].name).name

    def left(self) -> int:
        """Cells that are still to be asked."""
        with self._lock:
            return int(self._open().sum())

    def row(self, row: int) -> int | None:
        """The number of an image's row in the file; None where that cannot be said."""
        try:
            return self.keeper.row(self.labelled.image_ids[row])
        except UserError:
            return None

    def _person(self, name: str) -> _Person:
        person = self._people.setdefault(name, _Person())
        self._people.move_to_end(name)
        while len(self._people) > MOST_PEOPLE:
            gone, other = self._people.popitem(last=False)
            self._put_back(gone, other.pages)
        return person

    def _put_back(self, name: str, pages: Sequence[Page]) -> None:
        for page in pages:
            self._leases.give_back(name, [cell.place for cell in page.cells])

    def _standing(self, name: str, person: _Person) -> Standing:
        problem, lost = self._problem, 0
        try:
            self._fill_up(name, person)
            lost = self.keeper.lost()
        except UserError as error:
            problem = problem or str(error)
        person.shown = person.pages[0].id if person.pages else None
        return Standing(
            state="ranking" if self._proposals is None and self._problem is None else "ready",
            problem=problem,
            pages=tuple(person.pages),
            answered=len(self._answered),
            at_random=sum(self._answered.values()),
            skipped=len(self._skipped),
            filled=len(self._filled),
            left=int(self._open().sum()),
            waiting=self.keeper.waiting,
            lost=lost,
            ranked_with=self._ranked_with,
            undoable=bool(person.history),
        )

    def _fill_up(self, name: str, person: _Person) -> None:
        """Hold a person's pages for longer, but those that somebody else got or answered meanwhile; add new ones.

        The page that is on the screen stays there even where a cell was filled in the file meanwhile.
        """
        kept = []
        for page in person.pages:
            places = [cell.place for cell in page.cells]
            closed = [] if page.id == person.shown else self._closed(page.cells)
            free = not closed and all(self._labels[place] == UNKNOWN for place in places)
            if free and self._leases.take(name, places):
                kept.append(page)
            else:
                self._put_back(name, [page])
        person.pages = kept
        while len(person.pages) < AHEAD and (cells := self._drawn(person)):
            self._number += 1
            self._leases.take(name, [cell.place for cell in cells])
            person.pages.append(Page(f"{self.token}-{self._number}", person.mode, tuple(cells)))

    def _drawn(self, person: _Person) -> list[Cell]:
        """Cells that are still open when they are looked at, also in the file as it is now."""
        if self._proposals is None:
            return []
        while True:
            free = self._open()
            for place in self._leases.held():
                free[place] = False
            present = (self._labels == PRESENT).sum(axis=0)
            choice = Choice(self._proposals, free, present, self._share, self._random, person.column)
            cells = MODES[person.mode](choice)
            if not self._closed(cells):
                return cells

    def _open(self) -> NDArray[np.bool_]:
        """(N, C) the cells that are still to be asked, whoever has them."""
        if self._proposals is None:
            return np.zeros(self._labels.shape, dtype=np.bool_)
        free: NDArray[np.bool_] = self._proposals.asked & (self._labels == UNKNOWN)
        for place in self._skipped | self._filled:
            free[place] = False
        return free

    def _closed(self, cells: Sequence[Cell]) -> list[tuple[int, int]]:
        """Those of some cells that others have filled, as the place of the answers says now."""
        codes = {cell.place: self.keeper.code(*self._named(cell.place)) for cell in cells}
        closed = [place for place, code in codes.items() if code != UNKNOWN]
        for place in closed:
            code = codes[place]
            self._labels[place] = UNKNOWN if code is None else code
        self._filled.update(closed)
        return closed

    def _take(self, page: Page, answers: Sequence[Answer]) -> tuple[Outcome, tuple[tuple[Cell, Entry], ...]]:
        given = [
            (cell, Entry(*self._named(cell.place), _VALUES[answer], "waiting", cell.random))
            for cell, answer in zip(page.cells, answers, strict=True)
            if answer != "skip" and self._labels[cell.place] == UNKNOWN
        ]
        results = self.keeper.put([entry for _, entry in given]) if given else []
        kept = tuple(one for one, result in zip(given, results, strict=True) if result != "taken")
        for cell, entry in kept:
            self._labels[cell.place] = CODES[entry.value]
            self._answered[cell.place] = cell.random
        self._filled.update(cell.place for (cell, _), result in zip(given, results, strict=True) if result == "taken")
        skipped = [cell for cell, answer in zip(page.cells, answers, strict=True) if answer == "skip"]
        self._skipped.update(cell.place for cell in skipped)
        counts: Counter[str] = Counter(results)
        counts["skipped"] = len(skipped)
        counts["taken"] += len(page.cells) - len(given) - len(skipped)
        if kept:
            self.changed.set()
        result: Result = next(one for one in ("waiting", "written", "taken", "skipped") if counts[one])
        return Outcome(result, self._told(page, kept, counts), +counts), kept

    def _undo(self, person: _Person) -> Outcome:
        if not person.history:
            return Outcome("nothing", "there is nothing to undo")
        step = person.history[-1]
        try:
            given = self.keeper.take_back([entry for _, entry in step.kept]) if step.kept else []
        except (UserError, EnvironmentFault) as error:
            self.reporter.note(str(error))
            return Outcome("nothing", f"{self.keeper.name} cannot be written now; nothing was undone")
        person.history.pop()
        for (cell, _), back in zip(step.kept, given, strict=True):
            self._answered.pop(cell.place, None)
            if back:
                self._labels[cell.place] = UNKNOWN
            else:
                self._filled.add(cell.place)
        skipped = {cell.place for cell in step.page.cells if cell.proposed == "skip"}
        self._skipped -= skipped
        cells = tuple(cell for cell in step.page.cells if self._labels[cell.place] == UNKNOWN)
        changed = len(given) - sum(given)
        if not cells:
            return Outcome("taken", f"not undone: {counted(changed, 'cell')} changed elsewhere meanwhile")
        self.changed.set()
        self._number += 1
        person.pages.insert(0, replace(step.page, id=f"{self.token}-{self._number}", cells=cells))
        note = f"; {counted(changed, 'cell')} changed elsewhere meanwhile" if changed else ""
        return Outcome("undone", f"undone: {self._subject(step.page)}{note}", {"undone": len(cells)})

    def _named(self, place: tuple[int, int]) -> tuple[str, str]:
        """Image id and class."""
        return self.labelled.image_ids[place[0]], self.labelled.class_names[place[1]]

    def _subject(self, page: Page) -> str:
        """What a page is about, in words; the name of an image without its folder."""
        image, name = self.file_name(page.cells[0].row), self._named(page.cells[0].place)[1]
        if page.mode == "single":
            return f"{name} in {image}"
        return f"{name} in {counted(len(page.cells), 'image')}" if page.mode == "grid" else image

    def _told(self, page: Page, kept: Sequence[tuple[Cell, Entry]], counts: Mapping[str, int]) -> str:
        """A sentence about the answers to a page."""
        present = sum(entry.value == "1" for _, entry in kept)
        parts = []
        if kept and page.mode == "single":
            parts.append("present" if present else "absent")
        elif kept:
            parts.append(f"{present} present, {len(kept) - present} absent")
        if counts["skipped"]:
            parts.append("skipped" if page.mode == "single" else f"{counts['skipped']} skipped")
        if counts["taken"]:
            number = "" if page.mode == "single" else f"{counts['taken']} "
            parts.append(f"{number}not written, as others have answered meanwhile")
        if counts["waiting"]:
            parts.append(f"kept beside {self.keeper.name}, which cannot be written now, until that works")
        return f"{self._subject(page)}: {', '.join(parts)}"
