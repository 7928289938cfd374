"""Intervals for grids of runs, over seeds and test images together, paired in both.

Letters: G groups of cells (a method at a fraction, a cell of a design), K seeds, S resamples of the test images. All
cells share masks by seed, and all resamples are the same images for every cell, so differences are paired in both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

__all__ = ["UNDECIDED", "Alike", "Estimate", "estimate", "holm"]

LEVEL = 0.05  # of a whole table of comparisons
NO_VARIANCE = 1e-12
DRAWS = 20  # of the mean over seeds, for every resample of the images
DRAWS_OF_FEW = {1: 1, 2: 200}  # by number of seeds: one leaves nothing to draw, two have long tails

UNDECIDED = (
    "“Undecided” is what stands out by itself (its interval excludes 0), but not among so many comparisons; "
    "more seeds or test images may decide it"
)
"""What to say below a table of verdicts."""


@dataclass(frozen=True)
class Estimate:
    """A quantity with its interval.

    Attributes:
        value: the quantity, over all K seeds on all test images.
        low: lower end of its interval.
        high: upper end.
        p: two-sided p-value of zero, at least one over the number of draws and one.
        seeds: K; with one seed the interval is about the test images alone.
    """

    value: float
    low: float
    high: float
    p: float
    seeds: int

    @property
    def within_noise(self) -> bool:
        """Whether the interval contains 0."""
        return self.low <= 0 <= self.high

    def verdict(self, p_holm: float, more: str = "higher", less: str = "lower") -> str:
        """The verdict on this comparison, corrected for all comparisons of its table.

        Args:
            p_holm: its p-value, corrected for the table.
            more: the word for more than 0.
            less: the word for less.
        """
        if p_holm < LEVEL:
            return more if self.value > 0 else less
        return "within noise" if self.within_noise else "undecided"


@dataclass(frozen=True, eq=False)
class Alike:
    """Weighted sums of one form (the difference of any two methods of a grid), by seed.

    Attributes:
        by_seed: (V, K) the sums.
        independent: how many of them are independent of each other.
    """

    by_seed: NDArray[np.float64]
    independent: int

    def moderated(self, variance: float) -> tuple[float, float]:
        """The variance over seeds of one of the sums, raised towards that of all, and its degrees of freedom.

        Variances are taken as drawn from a scaled inverse χ², whose scale and degrees of freedom are those that the
        logarithms of the observed ones show: Smyth, "Linear Models and Empirical Bayes Methods for Assessing
        Differential Expression in Microarray Experiments" (2004), section 6.2; `squeezeVar` of limma. Sums that do not
        vary at all (of methods without training) are left out. A variance is never lowered, as some methods do vary
        more than others.
        """
        freedom = self.by_seed.shape[1] - 1
        found = self.by_seed.var(axis=1, ddof=1)
        found = found[found > NO_VARIANCE]
        if len(found) < 2 or variance <= NO_VARIANCE:
            return variance, float(freedom)
        logs = np.log(found) - digamma(freedom / 2) + np.log(freedom / 2)
        excess = float(logs.var(ddof=1) - polygamma(1, freedom / 2))
        most = float(freedom * self.independent)
        few = excess > polygamma(1, most / 2)  # else they agree as well as all of them together could show
        prior = float(2 * brentq(lambda x: polygamma(1, x) - excess, 1e-3, most / 2)) if few else most
        scale = float(np.exp(logs.mean() + digamma(prior / 2) - np.log(prior / 2)))
        shrunk = (prior * scale + freedom * variance) / (prior + freedom)
        return max(shrunk, variance), min(prior + freedom, most)


def estimate(
    scores: NDArray[np.float64],
    resampled: NDArray[np.float64],
    weights: ArrayLike,
    *,
    confidence: float = 0.95,
    seed: int = 0,
    alike: Alike | None = None,
) -> Estimate:
    """A weighted sum of groups, averaged over seeds: a mean, a paired difference, a main effect, an interaction.

    Images are resampled. K seeds are too few for resampling: two seeds have only three different resamples. The mean
    over seeds is drawn from Student's distribution instead, s / √K · t with K − 1 degrees of freedom around the
    observed mean, which is wide for two seeds; sums that are `alike` say more of their variance. Both are added draw
    by draw; the interval reflects the draws around the value, minus their bias (repeated positives rank together, so
    resampled scores are too high).

    Args:
        scores: (G, K) on the test images.
        resampled: (G, K, S) on their resamples.
        weights: (G,), for example 1 and −1.
        confidence: share of the draws inside the interval.
        seed: of the draws.
        alike: sums of the same form from the same experiment, this one among them.
    """
    factors = np.asarray(weights, dtype=np.float64)
    by_seed = np.einsum("g,gk->k", factors, scores)
    by_image = np.einsum("g,gks->s", factors, resampled) / len(by_seed)
    by_image = by_image[~np.isnan(by_image)]
    value, seeds = float(by_seed.mean()), len(by_seed)
    moves = np.repeat(by_image - by_image.mean(), DRAWS_OF_FEW.get(seeds, DRAWS))
    if seeds > 1:
        variance, freedom = float(by_seed.var(ddof=1)), seeds - 1.0
        if alike is not None:
            variance, freedom = alike.moderated(variance)
        moves += np.sqrt(variance / seeds) * np.random.default_rng(seed).standard_t(freedom, len(moves))
    low, high = np.quantile(moves, [(1 - confidence) / 2, (1 + confidence) / 2])
    beyond = min((moves >= value).sum(), (moves <= value).sum())
    return Estimate(
        value, value - float(high), value - float(low), min((2 * beyond + 1) / (len(moves) + 1), 1.0), seeds
    )


# scipy corrects for the false discovery rate alone, and statsmodels would be one more library for these lines.
def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number, by Holm's step-down: an adjusted one below α rejects at level α for all."""
    order = np.argsort(p_values, kind="stable")
    scaled = np.asarray(p_values, dtype=np.float64)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return [float(value) for value in adjusted]
