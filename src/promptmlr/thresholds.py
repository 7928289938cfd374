"""Thresholds on probabilities: for the largest expected F1, or for a requested precision.

Letters: N images, C classes.
"""

import math
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from promptmlr.errors import UserError

__all__ = ["NEAR", "Fraction", "PrecisionPoint", "check_precision", "expected_f1_thresholds", "precision_points"]

PSEUDO_PRESENT = 10.0  # images that the mean of all classes adds to those expected of a class, for its threshold
PSEUDO_PREDICTED = 20.0  # labels that the expected share of right ones counts as, beside known ones
MOST_PREDICTED = 1.2  # times as many as are expected: did best on drawn worlds with 150 to 1,000 labels
NEAR = 1e-9  # numbers are near, not equal
PRECISIONS = tuple(round(0.5 + step / 100, 2) for step in range(50))
TINY = 1e-12  # instead of a division by zero

Fraction = Annotated[float, Field(ge=0, le=1)]


class PrecisionPoint(BaseModel):
    """The threshold for a precision.

    Attributes:
        asked: the requested precision.
        threshold: a label is predicted if its probability is greater; 1 if no threshold reaches the precision.
        predicted: number of known labels, not seen in training, above the threshold.
        right: how many of them are present.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    asked: Fraction
    threshold: Fraction
    predicted: int
    right: int


def check_precision(precision: float) -> None:
    """Refuse a precision for which there is no `PrecisionPoint`.

    Raises:
        UserError: it lies outside `PRECISIONS`.
    """
    least, most = PRECISIONS[0], PRECISIONS[-1]
    if not least - NEAR <= precision <= most + NEAR:
        raise UserError(f"--precision {precision:g}: it must lie in {least:g} to {most:g}")


def expected_f1_thresholds(
    probabilities: NDArray[np.float64], counted: NDArray[np.bool_], common: float | None = None
) -> NDArray[np.float64]:
    """(C,) thresholds of the largest expected F1 over the counted cells of (N, C) calibrated probabilities.

    The best threshold is half of the F1 that it gives (Lipton, Elkan and Naryanaswamy, 2014), so it follows from the
    probabilities alone. Classes with few expected positives are shrunk to `common`, where None is the mean of all
    classes. A weak recognizer reaches its largest expected F1 by predicting nearly every image, so no class is
    predicted more than `MOST_PREDICTED` times as often as expected.
    """
    expected = np.where(counted, probabilities, 0.0).sum(axis=0)
    ranked = [np.sort(column[chosen])[::-1] for column, chosen in zip(probabilities.T, counted.T, strict=True)]
    best = np.array(
        [(2 * column.cumsum() / (np.arange(1, len(column) + 1) + column.sum())).max(initial=0) for column in ranked]
    )
    weight = expected / (expected + PSEUDO_PRESENT)
    if common is None:
        common = (best * expected).sum() / max(expected.sum(), TINY) / 2
    drawn: NDArray[np.float64] = weight * best / 2 + (1 - weight) * common
    return np.maximum(drawn, [_least_threshold(column) for column in ranked])


def _least_threshold(ranked: NDArray[np.float64]) -> float:
    """The threshold that predicts `MOST_PREDICTED` times the expected number, for (K,) descending probabilities."""
    most = math.ceil(MOST_PREDICTED * ranked.sum())
    return float(ranked[most - 1 : most + 1].mean()) if 0 < most < len(ranked) else 0.0


def precision_points(
    probabilities: NDArray[np.float64], known: NDArray[np.float64], present: NDArray[np.bool_]
) -> tuple[PrecisionPoint, ...]:
    """The thresholds for all of `PRECISIONS`, from probabilities and known labels.

    The expected precision of a threshold is the mean probability above it; it counts as `PSEUDO_PREDICTED` labels in
    addition to the known ones. Chosen is the smallest threshold from which on both together reach the precision.

    Args:
        probabilities: (M,) of all cells that training did not see.
        known: (K,) probabilities of the known ones among them.
        present: (K,) whether these are present.
    """
    ranked = np.sort(probabilities)[::-1]
    if not len(ranked):
        return ()
    # halfway between neighbours, so that rounding does not matter
    bounds = np.append((ranked[:-1] + ranked[1:]) / 2, 0.0)
    expected = ranked.cumsum() / np.arange(1, len(ranked) + 1)
    order = np.argsort(-known)
    predicted = np.searchsorted(-known[order], -bounds, side="left")
    right = np.append(0, present[order].cumsum())[predicted]
    share = (right + PSEUDO_PREDICTED * expected) / (predicted + PSEUDO_PREDICTED)
    points = []
    for asked in PRECISIONS:
        enough = np.flatnonzero(share >= asked)
        place = enough[-1] if len(enough) else None
        points.append(
            PrecisionPoint(asked=asked, threshold=1.0, predicted=0, right=0)
            if place is None
            else PrecisionPoint(
                asked=asked,
                threshold=float(bounds[place]),
                predicted=int(predicted[place]),
                right=int(right[place]),
            )
        )
    return tuple(points)
