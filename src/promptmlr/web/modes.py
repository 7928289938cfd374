"""Which cells make a page: a function per mode, and the table of them.

The gain of a cell is that of `advice.suggestion.rank_cells`, √(p (1 − p)) over √(1 + present labels of its class). A
share of the cells is drawn at random instead: chosen cells alone would mislead whatever is calibrated on them
(docs/failure-modes.md).

Letters: N images, C classes.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from promptmlr.web.pages import Cell, Mode
from promptmlr.web.proposals import Proposals

__all__ = ["AT_ONCE", "MODES", "Choice"]

AT_ONCE = 24  # cells of a page
UNSAID = 0.5  # stands for a probability that nobody says

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Choice:
    """What a page is chosen from.

    Attributes:
        proposals: the ranking.
        free: (N, C) bool, cells that are unknown, asked about, and handed out to nobody.
        present: (C,) how many labels of each class are known to be present.
        share: of cells that are drawn at random.
        random: draws them.
        column: the class that a person chose for the grid; None leaves it to the gain.
    """

    proposals: Proposals
    free: NDArray[np.bool_]
    present: NDArray[np.int64]
    share: float
    random: np.random.Generator
    column: int | None = None

    def gain(self, probabilities: NDArray[np.float32], free: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Of cells, (…, C); 0 of those that are not free."""
        p = np.where(np.isnan(probabilities), np.float32(UNSAID), probabilities)
        alone: NDArray[np.float32] = np.where(free, np.sqrt(p * (1 - p)) / np.sqrt(1 + self.present), 0)
        return alone

    def cells(self, places: Iterable[tuple[int, int]], *, random: bool = False) -> list[Cell]:
        """Cells at (row, column), with what is proposed for them."""
        found = []
        for row, column in places:
            p = self.proposals.probability((row, column))
            present = p is not None and p > UNSAID
            found.append(Cell(row, column, p, random, "present" if present else "absent"))
        return found


def grid_page(choice: Choice) -> list[Cell]:
    """The images most probable to hold one class, and some at random; the most probable first."""
    free, ranks = choice.free, np.nan_to_num(choice.proposals.probabilities, nan=-1)
    column = choice.column if choice.column is not None else _most_to_learn(choice, ranks)
    images = np.flatnonzero(free[:, column])
    size = min(AT_ONCE, len(images))
    drawn = choice.random.choice(images, choice.random.binomial(size, choice.share), replace=False)
    rest = np.setdiff1d(images, drawn)
    rest = rest[np.argsort(-ranks[rest, column], kind="stable")][: size - len(drawn)]
    cells = choice.cells(_of_class(rest, column)) + choice.cells(_of_class(drawn, column), random=True)
    return sorted(cells, key=lambda cell: -ranks[cell.place])


def image_page(choice: Choice) -> list[Cell]:
    """The classes that are unknown of one image: of the one with most to learn, or of any."""
    some = np.flatnonzero(choice.free.any(axis=1))
    if not len(some):
        return []
    at_random = bool(choice.random.random() < choice.share)
    if at_random:
        row = int(choice.random.choice(some))
    else:
        row = int(choice.gain(choice.proposals.probabilities, choice.free).sum(axis=1).argmax())
    ranks = np.nan_to_num(choice.proposals.probabilities[row], nan=-1)
    columns = np.flatnonzero(choice.free[row])
    if at_random:
        columns = choice.random.permutation(columns)[:AT_ONCE]
    columns = columns[np.argsort(-ranks[columns], kind="stable")][:AT_ONCE]
    return choice.cells(((row, int(column)) for column in columns), random=at_random)


def single_page(choice: Choice) -> list[Cell]:
    """The first cell of the order, or any."""
    if not choice.free.any():
        return []
    if choice.random.random() < choice.share:
        row, column = np.unravel_index(choice.random.choice(np.flatnonzero(choice.free)), choice.free.shape)
        return choice.cells([(int(row), int(column))], random=True)
    first = next((place for place in choice.proposals.order if choice.free[place]), None)
    if first is None:  # the order is at its end before a new ranking is there
        gain = np.where(choice.free, choice.gain(choice.proposals.probabilities, choice.free), -1)
        row, column = np.unravel_index(int(gain.argmax()), gain.shape)
        first = int(row), int(column)
    return choice.cells([first])


MODES: Mapping[Mode, Callable[[Choice], list[Cell]]] = MappingProxyType(
    {"grid": grid_page, "image": image_page, "single": single_page}
)
"""The cells of the next page; none where nothing is left to ask."""


def _most_to_learn(choice: Choice, ranks: NDArray[np.float32]) -> int:
    """The class whose next page has the greatest gain."""
    masked = np.where(choice.free, ranks, np.float32(-2))
    top = np.partition(masked, max(len(masked) - AT_ONCE, 0), axis=0)[-AT_ONCE:]
    of_class = choice.gain(np.where(top < 0, np.float32(np.nan), top), top > -2).sum(axis=0)
    return int(np.where(choice.free.any(axis=0), of_class, -1).argmax())


def _of_class(images: Indices, column: int) -> list[tuple[int, int]]:
    return [(int(row), column) for row in images]
