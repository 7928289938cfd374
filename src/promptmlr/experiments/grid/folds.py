"""Cross-validation of a grid: images in folds, each scored by what was trained on the others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from promptmlr.errors import UserError
from promptmlr.regions import Indices, RegionSource

__all__ = ["Fold", "SomeRegions", "draw_folds", "folds_of"]

SEED = 1_000_003  # of drawn folds: seeds that hide labels are small


@dataclass(frozen=True, eq=False)
class Fold:
    """What is trained on and what is scored at once.

    Attributes:
        trained: (N,) bool of the training images.
        tested: (N',) bool of the test images, which in cross-validation are the same images.
    """

    trained: NDArray[np.bool_]
    tested: NDArray[np.bool_]


def folds_of(numbers: NDArray[np.int64]) -> list[Fold]:
    """One fold per number, tested on its images and trained on all others; `numbers` (N,) are theirs.

    Raises:
        UserError: there is one fold, so that nothing is left to train on.
    """
    found = [Fold(numbers != number, numbers == number) for number in np.unique(numbers)]
    if len(found) < 2:
        raise UserError("all images are in one fold, so none is left to train on; draw others with --folds 5")
    return found


def draw_folds(images: int, folds: int) -> NDArray[np.int64]:
    """(N,) a fold for each image at random, all of them equally large but for one image; always the same ones.

    Raises:
        UserError: there are fewer images than folds.
    """
    if images < folds:
        raise UserError(f"--folds {folds}: there are {images} images; ask for fewer folds")
    return np.random.default_rng(SEED).permutation(images) % folds


class SomeRegions:
    """Regions of some images of another source, by their place among them.

    Args:
        source: regions of N images.
        chosen: (N',) indices of the images, in ascending order.
    """

    def __init__(self, source: RegionSource, chosen: Indices) -> None:
        self.source = source
        self.chosen = chosen

    def __len__(self) -> int:
        return len(self.chosen)

    def batches(self, plan: Sequence[Indices], epoch: int = 0) -> Iterator[tuple[Indices, Tensor]]:
        """As the source gives them, under other numbers."""
        for indices, regions in self.source.batches([self.chosen[part] for part in plan], epoch):
            yield np.searchsorted(self.chosen, indices), regions
