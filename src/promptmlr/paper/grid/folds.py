"""Cross-validation of a grid: images in folds, each scored by what was trained on the others."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptmlr.errors import UserError

__all__ = ["Fold", "draw_folds", "folds_of"]

SEED = 1_000_003  # of drawn folds: seeds that hide labels are small


@dataclass(frozen=True, eq=False)
class Fold:
    """Images to train on and images to score in one fold.

    Attributes:
        trained: (N,) bool of the training images.
        tested: (N',) bool of the test images, which in cross-validation are the same images.
    """

    trained: NDArray[np.bool_]
    tested: NDArray[np.bool_]


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
