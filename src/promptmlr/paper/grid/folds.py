"""Which images a grid trains on, chooses epochs on and scores: one fold with a test split, several without."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptmlr.errors import UserError

__all__ = ["VALIDATION", "Fold", "draw_folds", "folds_of", "hold_out_images"]

SEED = 1_000_003  # of drawn folds: seeds that hide labels are small
VALIDATED = 0.2  # of the training images, as `train.py` of elijahcole/single-positive-multi-label has it

VALIDATION = (
    "Every cell is its best epoch by mAP on a fifth of the training images, held out with all labels that they have "
    "(clean validation labels, as in Cole and others, CVPR 2021); labels are hidden in the other four fifths, and "
    "nothing is trained on the fifth. In use there would be fewer labels to choose by."
)


@dataclass(frozen=True, eq=False)
class Fold:
    """Images to train on and images to score in one fold.

    Attributes:
        trained: (N,) bool of the training images.
        tested: (N',) bool of the test images, which in cross-validation are the same images.
        validated: (N,) bool of the images on which epochs are chosen; none of them is trained on.
    """

    trained: NDArray[np.bool_]
    tested: NDArray[np.bool_]
    validated: NDArray[np.bool_] | None = None


def hold_out_images(fold: Fold) -> Fold:
    """The same fold with a fifth of its training images, at least one, held out to choose epochs on.

    They are drawn with a fixed seed, so that they are the same in all cells.

    Raises:
        UserError: there are fewer than two training images.
    """
    rows = np.flatnonzero(fold.trained)
    if len(rows) < 2:
        raise UserError(f"--select val: of {len(rows)} training images none can be held out; use --select last")
    held = np.zeros_like(fold.trained)
    held[np.random.default_rng(SEED).permutation(rows)[: max(1, round(VALIDATED * len(rows)))]] = True
    return Fold(fold.trained & ~held, fold.tested, held)


def folds_of(numbers: NDArray[np.int64]) -> list[Fold]:
    """One fold per number, tested on its images and trained on all others; `numbers` (N,) are the folds of images.

    Raises:
        UserError: there is only one fold, so nothing is left to train on.
    """
    found = [Fold(numbers != number, numbers == number) for number in np.unique(numbers)]
    if len(found) < 2:
        raise UserError("all images are in one fold, so none is left to train on; draw others with --folds 5")
    return found


def draw_folds(images: int, folds: int) -> NDArray[np.int64]:
    """(N,) a random fold for each image, with a fixed seed; sizes of folds differ by at most one image.

    Raises:
        UserError: there are fewer images than folds.
    """
    if images < folds:
        raise UserError(f"--folds {folds}: there are {images} images; ask for fewer folds")
    return np.random.default_rng(SEED).permutation(images) % folds
