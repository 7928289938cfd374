"""The labels of one split, counted, and what such labels are called. Letters: N images, C classes."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from promptmlr.labels import PRESENT, UNKNOWN, Labels
from promptmlr.prior.positive_only import positive_only_classes

__all__ = ["Kind", "SplitCounts"]

Kind = Literal[
    "nothing known", "complete", "one label each", "single positive", "positive-only", "absent-only", "partial"
]


@dataclass(frozen=True, eq=False)
class SplitCounts:
    """The labels of one split, counted.

    Attributes:
        split: its name; None where there are no splits.
        known: (C,) images in which each class is known.
        present: (C,) images in which it is present.
        known_of: (N,) classes that are known in each image.
        present_of: (N,) classes that are present in it.
        positive_only: (C,) classes with present labels and no absent ones (`positive_only_classes`).
    """

    split: str | None
    known: NDArray[np.int64]
    present: NDArray[np.int64]
    known_of: NDArray[np.int64]
    present_of: NDArray[np.int64]
    positive_only: NDArray[np.bool_]

    @classmethod
    def of(cls, split: str | None, labels: Labels) -> "SplitCounts":
        """Count (N, C) int8 labels."""
        known, present = labels != UNKNOWN, labels == PRESENT
        columns, rows = ((np.count_nonzero(known, axis=axis), np.count_nonzero(present, axis=axis)) for axis in (0, 1))
        return cls(split, *columns, *rows, positive_only_classes(labels))

    @property
    def share(self) -> float:
        """Of the labels that are known; 0 of none."""
        return float(self.known.sum()) / max(len(self.known) * len(self.known_of), 1)

    @property
    def share_present(self) -> float:
        """Of the known labels that are present; NaN of none."""
        known = int(self.known.sum())
        return int(self.present.sum()) / known if known else math.nan

    @property
    def kind(self) -> Kind:
        """What these labels are, by name.

        Single positive is one present label per image, and none absent (Cole et al., "Multi-Label Learning from Single
        Positive Labels", CVPR 2021), here of most images; positive-only, or positive-unlabelled, any number of present
        ones and none absent (Bekker and Davis, "Learning from positive and unlabeled data", Mach. Learning 109, 2020).
        """
        if not self.known.any():
            return "nothing known"
        at_most_one = len(self.known) > 1 and bool(self.present_of.max() == 1)
        if int(self.known.sum()) == int(self.present.sum()) and self.share < 1:
            mostly_one = 2 * int(self.present.sum()) > len(self.present_of)  # few labels are one of an image by chance
            return "single positive" if at_most_one and mostly_one else "positive-only"
        if not self.present.any() and self.share < 1:
            return "absent-only"
        if self.share < 1:
            return "partial"
        return "one label each" if at_most_one and bool(self.present_of.min() == 1) else "complete"
