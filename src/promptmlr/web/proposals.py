"""What is thought of every cell before anybody answers, and which of them are asked about.

Letters: N images, C classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptmlr.advice.suggestion import rank_cells
from promptmlr.labels import PRESENT, UNKNOWN, Labels
from promptmlr.prior.positive_only import positive_only_classes

__all__ = ["Proposals", "listed_proposals", "ranked_proposals"]

MOST = 1000  # cells in rank order; before they are all answered there is a new ranking


@dataclass(frozen=True, eq=False)
class Proposals:
    """One ranking.

    Attributes:
        probabilities: (N, C) float32 P(present); NaN where nobody says.
        asked: (N, C) bool, the cells that may be asked about.
        order: cells, (row, column), in the order in which single ones are asked.
    """

    probabilities: NDArray[np.float32]
    asked: NDArray[np.bool_]
    order: tuple[tuple[int, int], ...]

    def probability(self, place: tuple[int, int]) -> float | None:
        """Of a cell, (row, column)."""
        found = float(self.probabilities[place])
        return None if np.isnan(found) else found


def ranked_proposals(probabilities: NDArray[np.float32], labels: Labels) -> Proposals:
    """Proposals of a recognizer; single cells in the order of `promptmlr suggest`.

    Args:
        probabilities: (N, C), NaN for images that cannot be read and classes that it does not know.
        labels: (N, C) int8, what is known.
    """
    asked = ~np.isnan(probabilities)
    present = (labels == PRESENT).sum(axis=0)
    order = rank_cells(
        np.nan_to_num(probabilities),
        asked & (labels == UNKNOWN),
        present,
        MOST,
        positive_only_classes(labels) & (present > 0),
    )
    return Proposals(probabilities, asked, tuple((row, column) for row, column, _ in order))


def listed_proposals(shape: tuple[int, int], listed: Mapping[tuple[int, int], float | None]) -> Proposals:
    """Proposals that somebody lists, (row, column) → probability, the first to be asked first; no others are made."""
    probabilities = np.full(shape, np.nan, dtype=np.float32)
    asked = np.zeros(shape, dtype=np.bool_)
    for place, probability in listed.items():
        asked[place] = True
        probabilities[place] = np.nan if probability is None else probability
    return Proposals(probabilities, asked, tuple(listed))
