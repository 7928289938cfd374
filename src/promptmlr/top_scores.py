"""F1 where at most k classes of an image are predicted, as tables of multi-label recognition print it beside mAP.

Two definitions are in use. Supervised tables ("top-3 CF1, OF1") predict those of an image's three most probable classes
that are above ½ as well (`util.py`, `overall_topk`, of megvii-research/ML-GCN, and the same function in much code after
it). Zero-shot tables ("F1 at 3") predict exactly three, however improbable (`utils/helper.py`, `calc_F1`, of
sunxm2357/DualCoOp).

Letters: N images, C classes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from promptmlr.errors import UserError
from promptmlr.evaluation import decision_scores
from promptmlr.labels import Labels

__all__ = ["TopScores", "most_probable", "top_scores"]

THRESHOLD = 0.5  # in the code of others, a logit of 0


@dataclass(frozen=True)
class TopScores:
    """F1 of the three most probable classes of each image, in 0..1.

    Means over classes leave out those without a present label.

    Attributes:
        cf1_top3: harmonic mean of CP and CR (`Evaluation.cf1_harmonic`) of those of the three that are above ½.
        of1_top3: F1 of the same predictions, all labels pooled.
        f1_at_3: F1 of exactly three predictions an image, all labels pooled.
    """

    cf1_top3: float
    of1_top3: float
    f1_at_3: float


def top_scores(probabilities: ArrayLike, labels: Labels) -> TopScores:
    """Score (N, C) P(present) against (N, C) labels; what is predicted of an unknown label does not count.

    Raises:
        UserError: the shapes differ.
    """
    probabilities = np.asarray(probabilities)
    if probabilities.shape != labels.shape:
        raise UserError(f"scores {probabilities.shape} and labels {labels.shape}: give both as images by classes")
    first = most_probable(probabilities, 3)
    above = decision_scores(first & (probabilities > THRESHOLD), labels)
    return TopScores(above["cf1_harmonic"], above["of1"], decision_scores(first, labels)["of1"])


def most_probable(probabilities: NDArray[np.floating], k: int) -> NDArray[np.bool_]:
    """(N, C) bool, True for the k most probable classes of each image; of equal ones the first, and all if C ≤ k."""
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    chosen = np.zeros(probabilities.shape, dtype=np.bool_)
    np.put_along_axis(chosen, order, True, axis=1)
    return chosen
