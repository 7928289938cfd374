"""By how much the best of several methods leads, without the luck of having been the best.

The method with the highest mAP is often one that was lucky with these images, and its lead is too large then. Here
every resample of the images chooses its own best method, whose lead is taken on the images that it does not hold:
Tsamardinos, Greasidou and Borboudakis, "Bootstrapping the Out-of-sample Predictions for Efficient and Accurate
Cross-Validation" (Machine Learning 107, 2018), applied to differences. `python bench/coverage.py winner` measures it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from promptmlr.evaluation import PairedDifference, bootstrap_map, interval_of
from promptmlr.labels import Labels

__all__ = ["leads"]

NOTHING_KNOWN = PairedDifference(0.0, -1.0, 1.0)  # all positives are in one image, which is drawn or left out


def leads(
    methods: Sequence[NDArray[np.float64]], labels: Labels, resamples: int = 1000, seed: int = 0
) -> list[PairedDifference | None]:
    """The lead of the first method over each, None for itself.

    The interval is that of the paired difference, with its lower end moved down by the luck: it holds leads both of a
    method that was lucky and of one that was not.

    Args:
        methods: M scores, (N, C), the one with the highest mAP first.
        labels: (N, C) int8, 1 present, 0 absent, -1 unknown.
        resamples: S.
        seed: of the resamples.

    Raises:
        UserError: as `bootstrap_map`.
    """
    drawn = np.stack([bootstrap_map(scores, labels, resamples, seed) for scores in methods])
    left_out = np.stack([bootstrap_map(scores, labels, resamples, seed, left_out=True) for scores in methods])
    usable = ~np.isnan(drawn + left_out).any(axis=0)
    if not usable.any():
        return [None, *[NOTHING_KNOWN] * (len(methods) - 1)]
    drawn, left_out = drawn[:, usable], left_out[:, usable]
    chosen = left_out[drawn.argmax(axis=0), np.arange(drawn.shape[1])]
    found: list[PairedDifference | None] = [None]
    for one, apart in zip(drawn[1:], left_out[1:], strict=True):
        seen = drawn[0] - one
        fair = min(float((chosen - apart).mean()), float(seen.mean()))
        low, high = interval_of(seen, 0.95)
        found.append(PairedDifference(fair, low - (float(seen.mean()) - fair), high))
    return found
