"""How good a recognizer is: mAP with its interval, precision, recall and F1.

Letters: N images, C classes, S resamples. An unknown label is left out of its class and of nothing else. Every
fraction is in 0..1.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from promptmlr.errors import UserError
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN, Labels
from promptmlr.population import population_map

__all__ = [
    "Evaluation",
    "PairedDifference",
    "average_precision",
    "bootstrap_map",
    "decision_scores",
    "evaluate",
    "interval_of",
    "log_loss",
    "paired_difference",
    "resampled_counts",
]

CERTAIN = 1e-7  # no probability is nearer to 0 or 1 in a log loss, which one wrong certainty would make infinite
_CELLS_AT_ONCE = 1 << 20  # (resample, image) counts held together: 4 MB, near a processor's cache


@dataclass(frozen=True)
class Evaluation:
    """The scores of one recognizer on one labelled set, each in 0..1.

    The means over classes (`mean_ap`, `cf1`, `cp`, `cr`) leave out the classes in `without_positive`. The
    overall scores (`of1`, `op`, `or_`) pool every known label, so false alarms in those classes count there. A
    class that is never predicted has precision 0, as in DualCoOp's released code.

    Attributes:
        mean_ap: Mean over classes of average precision.
        mean_ap_interval: Its bootstrap interval over images, (low, high); NaN without resamples. It is about the mAP
            that another test of the same size is expected to give. Repeated positives rank together, so resampled mAPs
            lean high; this interval reflects them, less their mean, around `mean_ap`, which it always holds, and ends
            at 0 and 1.
        population_map: Estimate of the mAP on all images like these (`promptmlr.population`), which is lower than that
            of a small test; NaN without resamples.
        population_interval: Its interval, (low, high); NaN without resamples.
        per_class_ap: Average precision by class name, NaN for the classes in `without_positive`.
        prevalence: Share of present among the known labels by class name: the average precision of guessing.
        without_positive: Classes with no label present.
        without_negative: Classes with labels present but none absent: kept, though any scores give them AP 1.
        cf1: Mean over classes of per-class F1, which the released code of DualCoOp prints.
        cf1_harmonic: Harmonic mean of `cp` and `cr`, the other CF1 in use.
        of1: F1 of all labels pooled, the harmonic mean of `op` and `or_`.
        cp: Mean over classes of precision.
        cr: Mean over classes of recall.
        op: Precision of all labels pooled.
        or_: Recall of all labels pooled.
        images: N.
        labels_used: Number of known labels.
        threshold: A label is predicted where its probability is greater; by class name if given per class.
    """

    mean_ap: float
    mean_ap_interval: tuple[float, float]
    population_map: float
    population_interval: tuple[float, float]
    per_class_ap: dict[str, float]
    prevalence: dict[str, float]
    without_positive: tuple[str, ...]
    without_negative: tuple[str, ...]
    cf1: float
    cf1_harmonic: float
    of1: float
    cp: float
    cr: float
    op: float
    or_: float
    images: int
    labels_used: int
    threshold: float | dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, ready for JSON: lists for tuples, None for NaN."""
        return {name: _json_ready(value) for name, value in dataclasses.asdict(self).items()}


@dataclass(frozen=True)
class PairedDifference:
    """The difference in mAP of two recognizers (a minus b) over the same resamples of the images.

    Attributes:
        mean: Mean of the resampled differences.
        low: Lower end of their percentile interval.
        high: Upper end.
    """

    mean: float
    low: float
    high: float

    @property
    def within_noise(self) -> bool:
        """Whether the interval contains 0: these images cannot tell the two apart."""
        return self.low <= 0 <= self.high


def average_precision(scores: ArrayLike, labels: ArrayLike) -> float:
    """Average precision of one class: the sum over score levels of recall gained times precision there.

    Images of equal score enter together, as in scikit-learn's `average_precision_score`. (Released code ranks
    them by position instead, so its value depends on the order of the images where scores tie.)

    Args:
        scores: (N,) float on any scale, higher for present.
        labels: (N,) int8.

    Returns:
        The average precision, NaN when no label is present.

    Raises:
        UserError: The shapes differ, a score is NaN, or a label is not 1, 0 or -1.
    """
    return float(_class_aps(*_checked(np.asarray(scores)[..., None], np.asarray(labels)[..., None]))[0])


def evaluate(
    probabilities: ArrayLike,
    labels: ArrayLike,
    class_names: Sequence[str],
    *,
    threshold: ArrayLike = 0.5,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Evaluation:
    """Score probabilities of presence against labels.

    Args:
        probabilities: (N, C) float.
        labels: (N, C) int8.
        class_names: C different names.
        threshold: One number, or C of them; a label is predicted where its probability is greater.
        resamples: S of the intervals; 0 skips them. Time grows with S · N · C (see `bootstrap_map`).
        confidence: How often an interval is to hold what it is about, between 0 and 1.
        seed: Seed of the resamples.

    Raises:
        UserError: Shapes or names do not fit, a score or threshold is NaN, a label is not 1, 0 or -1, or no
            class has a label present.
    """
    probabilities, labels = _checked(probabilities, labels)
    images, classes = labels.shape
    names = np.array(class_names, dtype=object)
    if len(set(class_names)) != classes or len(class_names) != classes:
        raise UserError(f"class names: the labels have {classes} columns; give as many different names")
    thresholds = np.asarray(threshold, dtype=np.float64)
    if thresholds.shape not in ((), (classes,)) or np.isnan(thresholds).any():
        raise UserError(f"threshold: give one number, or one for each of the {classes} classes")
    by_class = np.concatenate(
        [np.empty((_scored(labels).size, 0)), *_resampled(probabilities, labels, resamples, seed)], axis=1
    )
    resampled = _class_means(by_class)
    low, high = interval_of(resampled, confidence)
    lean = float(np.nanmean(resampled)) if not np.isnan(low) else math.nan
    aps = _class_aps(probabilities, labels)
    present, absent = (labels == PRESENT).sum(axis=0), (labels == ABSENT).sum(axis=0)
    scored = present > 0
    mean_ap = float(aps[scored].mean())
    of_all = population_map(aps[scored], by_class, present[scored], absent[scored], confidence)
    return Evaluation(
        mean_ap=mean_ap,
        mean_ap_interval=(
            float(np.clip(mean_ap + lean - high, 0, mean_ap)),
            float(np.clip(mean_ap + lean - low, mean_ap, 1)),
        ),
        population_map=of_all.value,
        population_interval=(of_all.low, of_all.high),
        per_class_ap=dict(zip(class_names, aps.tolist(), strict=True)),
        prevalence=dict(zip(class_names, _prevalence(labels).tolist(), strict=True)),
        without_positive=tuple(names[~scored]),
        without_negative=tuple(names[scored & (absent == 0)]),
        **decision_scores(probabilities > thresholds, labels),
        images=images,
        labels_used=int((labels != UNKNOWN).sum()),
        threshold=(dict(zip(class_names, thresholds.tolist(), strict=True)) if thresholds.ndim else float(thresholds)),
    )


def log_loss(probabilities: NDArray[np.floating], labels: Labels) -> float:
    """Mean of −log P of the known ones of (N, C) labels, in nats; P is at least 1e-7."""
    known = labels != UNKNOWN
    there = probabilities[known].astype(np.float64)
    return float(-np.log(np.maximum(np.where(labels[known] == PRESENT, there, 1 - there), CERTAIN)).mean())


# scipy.stats.bootstrap ranks anew for every resample: 29 times slower around scikit-learn's average precision (40,000
# images, 80 classes), 9 times around a bare sort.
def bootstrap_map(
    probabilities: ArrayLike, labels: ArrayLike, resamples: int = 1000, seed: int = 0, *, left_out: bool = False
) -> NDArray[np.float64]:
    """Compute the mAP of resamples of the images, drawn with replacement.

    Resample s repeats the images of row s of `default_rng(seed).integers(N, size=(S, N))`, the same for every
    class and recognizer. A class without a present label in a resample is left out of its mean.

    Args:
        probabilities: (N, C) float.
        labels: (N, C) int8.
        resamples: S. A resample of 40,000 images and 80 classes takes about 20 ms on one core.
        seed: Seed of the draws.
        left_out: Of the images that a resample does not hold, each once, in its place.

    Returns:
        (S,) float64, NaN for a resample with no label present in any class.

    Raises:
        UserError: As `evaluate`.
    """
    parts = _resampled(*_checked(probabilities, labels), resamples, seed, left_out=left_out)
    return np.concatenate([np.empty(0), *map(_class_means, parts)])


def paired_difference(
    probabilities_a: ArrayLike,
    probabilities_b: ArrayLike,
    labels: ArrayLike,
    resamples: int = 1000,
    seed: int = 0,
    *,
    confidence: float = 0.95,
) -> PairedDifference:
    """Compare two recognizers in mAP (a minus b) on the same resamples of the same images.

    Both meet the same easy and hard images, so this tells more apart than two intervals side by side.

    Args:
        probabilities_a: (N, C) float of recognizer a.
        probabilities_b: (N, C) float of recognizer b.
        labels: (N, C) int8.
        resamples: S, at least 1.
        seed: Seed of the resamples.
        confidence: Share of the resampled differences inside the interval, between 0 and 1.

    Raises:
        UserError: As `evaluate`, or `resamples` is 0.
    """
    if resamples < 1:
        raise UserError(f"resamples: {resamples} cannot tell a difference from noise; 1000 is usual")
    map_a, map_b = (bootstrap_map(p, labels, resamples, seed) for p in (probabilities_a, probabilities_b))
    return PairedDifference(float(np.nanmean(map_a - map_b)), *interval_of(map_a - map_b, confidence))


@dataclass(frozen=True)
class _Ranking:
    """One class's known images from the highest score down to its lowest-scored positive, cut into groups.

    A group is the images of one score that holds a positive, and all images between it and the group before:
    they are seen on the way and add no recall. Resampling changes how often images count, never the groups.
    """

    images: NDArray[np.intp]  # rows of the data set
    starts: NDArray[np.intp]  # where in `images` each group starts
    positives: NDArray[np.intp]  # the rows among them that are present
    positive_starts: NDArray[np.intp]  # where in `positives` each group starts


def _rank(scores: NDArray[np.float64], labels: Labels) -> _Ranking:
    """Rank a class that has a positive, from its (N,) scores and labels."""
    images = np.flatnonzero(labels != UNKNOWN)
    images = images[np.argsort(-scores[images], kind="stable")]
    present = labels[images] == PRESENT
    level = np.append(0, np.cumsum(scores[images[1:]] != scores[images[:-1]]))
    levels = np.unique(level[present])
    group = np.searchsorted(levels, level)
    kept = group < len(levels)
    images, present, group = images[kept], present[kept], group[kept]
    starts, positive_starts = (np.unique(g, return_index=True)[1] for g in (group, group[present]))
    return _Ranking(images, starts, images[present], positive_starts)


def _weighted_ap(ranking: _Ranking, counts: NDArray[np.int32]) -> NDArray[np.float64]:
    """Average precision (S,) of a class when image n counts `counts[s, n]` times, NaN without a positive."""
    seen = np.add.reduceat(counts.take(ranking.images, axis=1), ranking.starts, axis=1).cumsum(axis=1)
    gained = np.add.reduceat(counts.take(ranking.positives, axis=1), ranking.positive_starts, axis=1)
    found = gained.cumsum(axis=1)
    return _ratio((gained * _ratio(found, seen)).sum(axis=1), found[:, -1], empty=math.nan)


def _class_aps(scores: NDArray[np.float64], labels: Labels) -> NDArray[np.float64]:
    """Average precision (C,) of every class, NaN without a positive."""
    aps = np.full(labels.shape[1], math.nan)
    for c in np.flatnonzero((labels == PRESENT).any(axis=0)):
        aps[c] = _weighted_ap(_rank(scores[:, c], labels[:, c]), np.ones((1, len(labels)), np.int32))[0]
    return aps


def _prevalence(labels: Labels) -> NDArray[np.float64]:
    return _ratio((labels == PRESENT).sum(axis=0), (labels != UNKNOWN).sum(axis=0), empty=math.nan)


def resampled_counts(images: int, resamples: int, seed: int) -> Iterator[NDArray[np.int32]]:
    """Yield how often each image is drawn, some rows of (S, N) at a time: all of them can be gigabytes."""
    rng = np.random.default_rng(seed)
    at_once = max(1, _CELLS_AT_ONCE // images)
    for done in range(0, resamples, at_once):
        shape = (min(at_once, resamples - done), images)
        cells = rng.integers(images, size=shape) + images * np.arange(shape[0])[:, None]
        yield np.bincount(cells.ravel(), minlength=cells.size).astype(np.int32).reshape(shape)


def decision_scores(predicted: NDArray[np.bool_], labels: Labels) -> dict[str, float]:
    """Precision, recall and F1, mean over classes and overall, of decisions (N, C)."""
    true = (predicted & (labels == PRESENT)).sum(axis=0)
    claimed = (predicted & (labels != UNKNOWN)).sum(axis=0)
    present = (labels == PRESENT).sum(axis=0)
    scored = present > 0
    cp, cr = _ratio(true, claimed)[scored].mean(), _ratio(true, present)[scored].mean()
    scores = {
        "cf1": _ratio(2 * true, claimed + present)[scored].mean(),
        "cf1_harmonic": _ratio(2 * cp * cr, cp + cr),
        "of1": _ratio(2 * true.sum(), (claimed + present).sum()),
        "cp": cp,
        "cr": cr,
        "op": _ratio(true.sum(), claimed.sum()),
        "or_": _ratio(true.sum(), present.sum()),
    }
    return {name: float(score) for name, score in scores.items()}


def _resampled(
    probabilities: NDArray[np.float64], labels: Labels, resamples: int, seed: int, *, left_out: bool = False
) -> Iterator[NDArray[np.float64]]:
    """The (C', S) average precisions of resamples, some columns at a time, of the C' classes with a positive."""
    if resamples < 0:
        raise UserError(f"resamples: {resamples} is negative; give 0 or more")
    rankings = [_rank(probabilities[:, c], labels[:, c]) for c in _scored(labels)]
    for drawn in resampled_counts(len(labels), resamples, seed):
        counts = (drawn == 0).astype(np.int32) if left_out else drawn
        yield np.stack([_weighted_ap(ranking, counts) for ranking in rankings])


def _scored(labels: Labels) -> NDArray[np.intp]:
    """The classes with a positive."""
    found = np.flatnonzero((labels == PRESENT).any(axis=0))
    if not found.size:
        raise UserError("labels: no class has a label present, so there is no mAP; check the test labels")
    return found


def _class_means(aps: NDArray[np.float64]) -> NDArray[np.float64]:
    """(S,) means over the classes of (C', S) average precisions that are not NaN."""
    return _ratio(np.nansum(aps, axis=0), (~np.isnan(aps)).sum(axis=0), empty=math.nan)


def _ratio(numerator: ArrayLike, denominator: ArrayLike, empty: float = 0.0) -> NDArray[np.float64]:
    """Divide, with `empty` where the denominator is 0."""
    divisor = np.asarray(denominator)
    quotient = np.full(divisor.shape, empty)
    np.divide(numerator, divisor, out=quotient, where=divisor != 0)
    return quotient


def interval_of(values: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """Percentile interval of the values that are not NaN."""
    if not 0 < confidence < 1:
        raise UserError(f"confidence: {confidence} is not between 0 and 1; 0.95 is usual")
    values = values[~np.isnan(values)]
    if not values.size:
        return math.nan, math.nan
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], Labels]:
    """Return both as (N, C) arrays, or refuse what cannot be scored."""
    scores, labels = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    if scores.ndim != 2 or scores.shape != labels.shape:
        raise UserError(f"scores {scores.shape} and labels {labels.shape}: give both as images by classes")
    if np.isnan(scores).any():
        n, c = np.argwhere(np.isnan(scores))[0]
        raise UserError(f"scores: NaN at image {n}, class {c} (from 0); training may have diverged")
    known_code = np.isin(labels, (PRESENT, ABSENT, UNKNOWN))
    if not known_code.all():
        raise UserError(f"labels: found {labels[~known_code][0]}; use 1 present, 0 absent, -1 unknown")
    return scores, labels.astype(np.int8)


def _json_ready(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _json_ready(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_json_ready(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
