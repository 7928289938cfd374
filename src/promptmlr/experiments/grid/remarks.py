"""What to know of test data before their scores are believed."""

import numpy as np

from promptmlr.data import LabelledImages
from promptmlr.errors import UserError
from promptmlr.labels import PRESENT

__all__ = ["remarks_on"]

FEW = 100  # images, below which resamples of them show too little
SHOWN = 10  # classes that are named


def remarks_on(test: LabelledImages) -> list[str]:
    """A paragraph on each weakness of the test data: few images, and classes that no image holds.

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
        named = ", ".join(empty[:SHOWN]) + (f" and {len(empty) - SHOWN} more" if len(empty) > SHOWN else "")
        remarks.append(
            f"{len(empty)} of {len(test.class_names)} classes have no test image with the label present, so "
            f"mAP and CF1 leave them out: {named}."
        )
    return remarks
