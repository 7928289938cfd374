"""The mAP on all images like those of a test set: an estimate without the bias of a small test, and its interval.

The average precision of a sample is higher than that of the population it was drawn from, because every positive counts
itself among those found at its rank: by several points for a class with ten positives, by none for one with a thousand.
How much is read off a model in which the scores of a class are normal with equal variance and positives stand d higher:
it gives the expected AP of a sample with as many positives and absents, and the AP of the population, both as functions
of d. The d at which a sample is expected to have the AP that was seen gives the corrected AP. Scores need not be
normal: only the bias is taken from the model, and matching the AP itself makes it nearly independent of their shape.

The spread is that of resamples of the images, so that classes may depend on each other; it is stretched by the slope of
the correction. Few positives vary more than their resamples show: what the model adds to a class's variance is added.
Student's t has the degrees of freedom that the positives of the classes give together (Satterthwaite). `python
bench/coverage.py` measures how often the interval holds the true value.

Letters: N images, C classes, S resamples, P positives and A absents of a class.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import t as student

__all__ = ["PopulationEstimate", "population_map"]

DISTANCES = np.linspace(-0.5, 4.5, 16)  # d of the model, in standard deviations
MOST_POSITIVES = 100  # simulated; with more, the bias falls as 1 / P
MODEL_DOUBT = 1 / 3  # standard deviation of the model's error, as a share of the correction
SIMULATED = 20_000  # positives
RANKS = (np.arange(1000) + 0.5) / 1000


@dataclass(frozen=True)
class PopulationEstimate:
    """The mAP on all images like those of a test set, over the classes with a positive in it.

    Attributes:
        value: the estimate, in 0..1.
        low: lower end of its interval.
        high: upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class _Model:
    """What samples of one size are like: expected AP, its variance and the population's AP, each by `DISTANCES`."""

    expected: NDArray[np.float64]
    variance: NDArray[np.float64]
    population: NDArray[np.float64]

    def distance(self, ap: float) -> float:
        """At which a sample is expected to have this AP."""
        return float(np.interp(ap, self.expected, DISTANCES))

    def corrected(self, ap: float, usual: float) -> tuple[float, float, float]:
        """The population's AP for one that was seen, the slope of this correction there, and the AP's variance.

        A class with few positives that was lucky seems to vary little: its variance is at least that at the distance
        that is `usual` for the classes.
        """
        distance = self.distance(ap)
        at = int(np.clip(np.searchsorted(DISTANCES, distance), 1, len(DISTANCES) - 2))
        rise = float(self.expected[at + 1] - self.expected[at - 1])
        slope = float(self.population[at + 1] - self.population[at - 1]) / rise
        value = float(np.interp(distance, DISTANCES, self.population))
        variance = max(float(np.interp(one, DISTANCES, self.variance)) for one in (distance, usual))
        return value, min(max(slope, 0.5), 2.0), variance


def population_map(
    aps: NDArray[np.float64],
    resampled: NDArray[np.float64],
    positives: NDArray[np.int_],
    absents: NDArray[np.int_],
    confidence: float = 0.95,
) -> PopulationEstimate:
    """The mAP of the population, from the average precisions of a test set.

    Args:
        aps: (C,) of classes with a positive.
        resampled: (C, S) on resamples of the images, the same for all classes; NaN without a positive in one.
        positives: (C,) P.
        absents: (C,) A; a class without any has AP 1 whatever its scores are, and is not corrected.
        confidence: how often the interval should hold the population's value.
    """
    if not resampled.size:
        return PopulationEstimate(math.nan, math.nan, math.nan)
    value, variance, freedom = np.zeros(len(aps)), np.zeros(len(aps)), 0.0
    moves = np.nan_to_num(resampled - np.nanmean(resampled, axis=1, keepdims=True))
    usual = _usual_distance(aps, positives, absents)
    for c, (ap, present, absent) in enumerate(zip(aps, positives, absents, strict=True)):
        if not absent:
            value[c] = ap
            continue
        value[c], slope, expected_variance = _corrected(float(ap), int(present), int(absent), usual)
        moves[c] *= slope * math.sqrt(present / max(present - 1, 1))
        seen = float(moves[c].var())
        variance[c] = max(slope**2 * expected_variance - seen, 0.0)
        freedom += (seen + variance[c]) ** 2 / present
    own = moves.var(axis=1) + variance
    apart = own.sum() / len(aps) ** 2  # the mean's variance if classes were independent
    mean = float(value.mean())
    doubt = MODEL_DOUBT * (float(aps.mean()) - mean)
    together = float(moves.mean(axis=0).var() + variance.sum() / len(aps) ** 2)
    spread = math.sqrt(together + doubt**2)
    if freedom:  # dependent classes share the images that vary
        freedom = own.sum() ** 2 / freedom / max(together / apart, 1.0)
    reach = spread * float(student.ppf((1 + confidence) / 2, freedom)) if freedom else 0.0
    return PopulationEstimate(mean, max(mean - reach, 0.0), min(mean + reach, 1.0))


def _usual_distance(aps: NDArray[np.float64], positives: NDArray[np.int_], absents: NDArray[np.int_]) -> float:
    """Mean over classes, each as often as it has positives."""
    both = [(float(ap), int(p), int(a)) for ap, p, a in zip(aps, positives, absents, strict=True) if a]
    if not both:
        return 0.0
    return float(np.average([_model_of(p, a).distance(ap) for ap, p, a in both], weights=[p for _, p, _ in both]))


def _corrected(ap: float, positives: int, absents: int, usual: float) -> tuple[float, float, float]:
    value, slope, variance = _model_of(positives, absents).corrected(ap, usual)
    if positives <= MOST_POSITIVES:
        return value, slope, variance
    share = MOST_POSITIVES / positives
    return ap + (value - ap) * share, 1.0, variance * share


def _model_of(positives: int, absents: int) -> _Model:
    """Of a class with so many, or of a smaller one with as large a share."""
    if positives <= MOST_POSITIVES:
        return _model(_rounded(positives), _rounded(absents))
    return _model(MOST_POSITIVES, _rounded(max(round(absents * MOST_POSITIVES / positives), 1)))


def _rounded(count: int) -> int:
    """To a few percent, so that classes share models."""
    step = 1 << max(count.bit_length() - 5, 0)
    return (count + step // 2) // step * step


@lru_cache(maxsize=4096)
def _model(positives: int, absents: int) -> _Model:
    """By simulation of the positives' scores; the absents above each follow from these."""
    rng = np.random.default_rng([positives, absents])
    shape = SIMULATED // positives, positives
    noise = -np.sort(-rng.standard_normal(shape), axis=1)
    found = np.arange(1, positives + 1)
    expected, variance, population = [], [], []
    for distance in DISTANCES:
        above = rng.binomial(absents, ndtr(-(noise + distance)))
        aps = (found / (found + above)).mean(axis=1)
        false = absents * ndtr(-(distance + ndtri(1 - RANKS)))
        expected.append(aps.mean())
        variance.append(aps.var())
        population.append((positives * RANKS / (positives * RANKS + false)).mean())
    rising = np.maximum.accumulate(np.asarray(expected)) + 1e-9 * np.arange(len(DISTANCES))
    return _Model(rising, np.asarray(variance), np.asarray(population))
