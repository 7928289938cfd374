"""The area under the ROC curve by ranks, and its bootstrap over images.

Letters: N images, C classes, S resamples.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptmlr.evaluation import resampled_counts
from promptmlr.labels import PRESENT, UNKNOWN, Labels

__all__ = ["auc", "bootstrap_auc"]


def auc(scores: NDArray[np.floating], labels: Labels) -> NDArray[np.float64]:
    """The probability that an image with the class scores higher than one without it; ties count half.

    Args:
        scores: (N, C) on any scale, without NaN.
        labels: (N, C) int8; unknown ones are left out.

    Returns:
        (C,) in 0..1, NaN for a class without a present or without an absent label.
    """
    once = np.ones((1, len(labels)), dtype=np.int64)
    return np.array([_ranked(scores[:, c], labels[:, c]).auc(once)[0] for c in range(labels.shape[1])])


# scipy.stats.bootstrap around scikit-learn's roc_auc_score is 13 times slower (40,000 images, 80 classes).
def bootstrap_auc(
    scores: NDArray[np.floating], labels: Labels, resamples: int = 1000, seed: int = 0
) -> NDArray[np.float64]:
    """The mean over classes of the AUC, on resamples of the images drawn with replacement.

    The same seed draws the same images for all scores. A class with only present or only absent labels in a resample is
    left out of the mean.

    Returns:
        (S,) in 0..1, NaN where no class is left.
    """
    ranked = [_ranked(scores[:, c], labels[:, c]) for c in range(labels.shape[1])]
    means = []
    for counts in resampled_counts(len(labels), resamples, seed):
        found = np.stack([one.auc(counts) for one in ranked])
        scored = (~np.isnan(found)).sum(axis=0)
        means.append(np.divide(np.nansum(found, axis=0), scored, out=np.full(len(counts), np.nan), where=scored > 0))
    return np.concatenate(means)


@dataclass(frozen=True)
class _Ranked:
    """The images with a known label of one class, sorted by ascending score.

    Attributes:
        images: rows of the data set.
        present: whether each has the class.
        first: for each, the rank of the first image with the same score.
        behind: for each, the rank after the last image with the same score.
    """

    images: NDArray[np.intp]
    present: NDArray[np.bool_]
    first: NDArray[np.intp]
    behind: NDArray[np.intp]

    def auc(self, counts: NDArray[np.integer]) -> NDArray[np.float64]:
        """(S,) AUC when image n counts `counts[s, n]` times; NaN if present or absent labels are missing."""
        drawn = counts[:, self.images]
        absent = np.where(self.present, 0, drawn)
        below = np.concatenate([np.zeros((len(counts), 1), dtype=np.int64), absent.cumsum(axis=1)], axis=1)
        weights = drawn[:, self.present]
        wins = (below[:, self.first[self.present]] + below[:, self.behind[self.present]]) / 2
        pairs = weights.sum(axis=1) * below[:, -1]
        result = np.full(len(counts), np.nan)
        np.divide((weights * wins).sum(axis=1), pairs, out=result, where=pairs > 0)
        return result


def _ranked(scores: NDArray[np.floating], labels: Labels) -> _Ranked:
    images = np.flatnonzero(labels != UNKNOWN)
    images = images[np.argsort(scores[images], kind="stable")]
    ordered = scores[images]
    return _Ranked(
        images,
        labels[images] == PRESENT,
        np.searchsorted(ordered, ordered, side="left"),
        np.searchsorted(ordered, ordered, side="right"),
    )
