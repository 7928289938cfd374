"""How often each class is present, absent and unknown, and which classes come together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Self

import numpy as np
from numpy.typing import NDArray

from promptmlr.errors import UserError
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN, Labels

__all__ = ["ClassCount", "JointCounts", "Pair", "blocks", "class_counts", "pairs"]

FEW = 10  # present labels, below which a class is hardly learned or scored

_ROWS = 1 << 13  # of labels as floats at once
_CHANCE = 0.05


@dataclass(frozen=True)
class ClassCount:
    """A class over all splits.

    Attributes:
        name: of the class.
        present: images that show it.
        absent: images that are known not to show it.
        unknown: images of which nobody said.
        by_split: split → the same three counts; empty where there are no splits.
        advice: what to do about it, or "".
    """

    name: str
    present: int
    absent: int
    unknown: int
    advice: str = ""
    by_split: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Of the known labels that are present; NaN without any."""
        known = self.present + self.absent
        return self.present / known if known else float("nan")


@dataclass(frozen=True)
class Pair:
    """Two classes over the images where both are known.

    Attributes:
        first: a class.
        second: another.
        images: on which both are known.
        together: on which both are present.
        expected: the same, if they had nothing to do with each other.
        correlation: phi, from -1 to 1.
        chance: what the strongest of all pairs of unrelated classes exceeds in one data set of twenty, at this number
            of images (Bonferroni, normal approximation).
    """

    first: str
    second: str
    images: int
    together: int
    expected: float
    correlation: float
    chance: float


@dataclass(frozen=True, eq=False)
class JointCounts:
    """Counts of images for each two of C classes; those of several splits add up.

    Attributes:
        known: (C, C) images on which both are known.
        present: (C, C) images on which the row's class is present and the column's known.
        both: (C, C) images on which both are present.
    """

    known: NDArray[np.float64]
    present: NDArray[np.float64]
    both: NDArray[np.float64]

    @classmethod
    def of(cls, labels: Labels) -> Self:
        """Count (N, C) int8 labels.

        Raises:
            UserError: there are too many classes for this machine.
        """
        try:
            known, present, both = np.zeros((3, labels.shape[1], labels.shape[1]))
            for part in blocks(labels):
                is_known = (part != UNKNOWN).astype(np.float32)
                is_present = (part == PRESENT).astype(np.float32)
                known += is_known.T @ is_known
                present += is_present.T @ is_known
                both += is_present.T @ is_present
        except MemoryError as error:
            count = labels.shape[1]
            raise UserError(f"{count:,} classes: their pairs do not fit into memory; --classes chooses some") from error
        return cls(known, present, both)

    def __add__(self, other: Self) -> Self:
        return type(self)(self.known + other.known, self.present + other.present, self.both + other.both)


def blocks(labels: Labels) -> Iterator[Labels]:
    """Rows of (N, C) labels, so many at once that they may be floats."""
    for start in range(0, len(labels), _ROWS):
        yield labels[start : start + _ROWS]


def class_counts(labels: Labels, class_names: Sequence[str], by_split: Mapping[str, Labels]) -> list[ClassCount]:
    """Counts of every class, with one line of advice where something will go wrong.

    Args:
        labels: (N, C) int8, of all splits together.
        class_names: C names.
        by_split: split → (n, C), empty where there are no splits.
    """
    counts = {code: (labels == code).sum(axis=0) for code in (PRESENT, ABSENT, UNKNOWN)}
    codes = (PRESENT, ABSENT, UNKNOWN)
    apart = {split: [(part == code).sum(axis=0) for code in codes] for split, part in by_split.items()}
    shown = {split: (part == PRESENT).any(axis=0) for split, part in by_split.items()}
    found = []
    for column, name in enumerate(class_names):
        present, absent, unknown = (int(counts[code][column]) for code in (PRESENT, ABSENT, UNKNOWN))
        missing = [split for split, there in shown.items() if not there[column]]
        split_counts = {
            split: (int(each[0][column]), int(each[1][column]), int(each[2][column])) for split, each in apart.items()
        }
        found.append(ClassCount(name, present, absent, unknown, _advice(present, absent, missing), split_counts))
    return found


def _advice(present: int, absent: int, missing: Sequence[str]) -> str:
    if not present:
        return "never present: it can be neither learned nor scored; label some, or drop the class"
    if not absent:
        return "never known to be absent: nothing says what it looks like without; label some images 0"
    if missing:
        return f"never present in {' and '.join(missing)}: it can be neither learned nor scored there"
    if present < FEW:
        return f"present in fewer than {FEW} images: its score will be noise; label more"
    return ""


def pairs(counts: JointCounts, class_names: Sequence[str]) -> list[Pair]:
    """The pairs of classes that come together, or avoid each other, more than chance explains; the strongest first."""
    known, present, both = counts.known, counts.present, counts.both
    first, second = np.triu_indices(len(class_names), k=1)
    n = known[first, second]
    a, b = present[first, second], present[second, first]  # images that show the one, where both are known
    together = both[first, second]
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = a * b / n
        correlation = (n * together - a * b) / np.sqrt(a * (n - a) * b * (n - b))
        chance = NormalDist().inv_cdf(1 - _CHANCE / 2 / max(len(n), 1)) / np.sqrt(n)
    # below some five expected images the normal approximation calls a single coincidence strong
    stands = np.isfinite(correlation) & (np.abs(correlation) > chance) & (np.maximum(expected, together) >= 5)
    order = sorted(np.flatnonzero(stands), key=lambda i: -abs(correlation[i]))
    return [
        Pair(
            class_names[first[i]],
            class_names[second[i]],
            int(n[i]),
            int(together[i]),
            float(expected[i]),
            float(correlation[i]),
            float(chance[i]),
        )
        for i in order
    ]
