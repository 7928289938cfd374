"""Weaknesses of test data that limit what their scores mean."""

import numpy as np
from numpy.typing import NDArray

from promptmlr.data import LabelledImages
from promptmlr.errors import UserError
from promptmlr.labels import PRESENT
from promptmlr.names import first_names
from promptmlr.paper.grid.results import EmptyClasses

__all__ = ["remarks_on"]

_EMPTY = {
    "left-out": "mAP and CF1 leave them out: {}.",
    "zero": "they count as 0 in mAP and CF1, as in the released code: {}. cells.csv leaves them out.",
}

FEW = 100  # images, below which resamples of them show too little


def remarks_on(
    test: LabelledImages, folds: NDArray[np.int64] | None = None, empty_classes: EmptyClasses = "left-out"
) -> list[str]:
    """A paragraph on each weakness of the test data: few images, and classes that no image holds.

    Args:
        test: the images that are scored.
        folds: (N,) the fold of each image in cross-validation, else None.
        empty_classes: how the scores count classes that no image holds.

    Raises:
        UserError: no class has a label present, so nothing can be scored.
    """
    remarks = []
    if len(test.images) < FEW:
        remarks.append(
            f"There are {len(test.images)} test images; with fewer than {FEW}, intervals are too narrow and verdicts "
            "too certain."
        )
    held = (test.labels == PRESENT).any(axis=0)
    empty = [test.class_names[c] for c in np.flatnonzero(~held)]
    if len(empty) == len(test.class_names):
        raise UserError(f"{test.source}: no class has a label present, so nothing can be scored; check the test labels")
    if empty:
        remarks.append(
            f"{len(empty)} of {len(test.class_names)} classes have no test image with the label present, so "
            f"{_EMPTY[empty_classes].format(first_names(empty))}"
        )
    if folds is not None:
        numbers = np.unique(folds)
        shown = np.array([(test.labels[folds == number] == PRESENT).any(axis=0) for number in numbers])
        if without := int(np.count_nonzero(~shown.all(axis=0) & held)):
            remarks.append(
                f"{without} of {len(test.class_names)} classes have a label present in some of the {len(numbers)} "
                "folds alone; a fold's mAP leaves out those that it does not show."
            )
    return remarks
