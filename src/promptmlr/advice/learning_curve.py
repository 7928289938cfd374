"""How many labels are needed: the score by the number of observed labels, and its extrapolation.

Labels are left out at random, several times at each number; every training is scored on the same labels of images that
no training saw. The curve is 1 − mAP = floor + gain · n^−rate (Cortes and others, 1993), fitted to each resample of
test images and seeds. A back-test extrapolates to the last point from the earlier ones.

Letters: F numbers of labels, K seeds, S resamples of the test images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from promptmlr.crossvalidation import Subject
from promptmlr.data import LabelledImages
from promptmlr.errors import UserError
from promptmlr.evaluation import bootstrap_map, evaluate
from promptmlr.labels import PRESENT, UNKNOWN, Labels, Observation, hide
from promptmlr.methods import METHOD_TABLE, create_recognizer
from promptmlr.prediction import predict_margins
from promptmlr.prior.fitting import begin_run
from promptmlr.prior.positive_only import resolve_unknown
from promptmlr.recipes import Recipe
from promptmlr.regions import RegionSource
from promptmlr.reporting import Reporter
from promptmlr.training import fit_runs
from promptmlr.uncertainty import estimate

__all__ = ["Curve", "Extrapolation", "Point", "check_parts", "curve_of", "learning_curve", "with_test_part"]

RATES = (0.05, 2.0)  # limits of the rate
FAR = 10.0  # times the labels there are
MASKS = 1_000_003  # the first seed of them: those that hid the other labels are small, and masks of one seed are nested


@dataclass(frozen=True)
class Point:
    """The score at a number of labels.

    Attributes:
        share: of the observed labels, in (0, 1].
        labels: how many training sees on average.
        mean_ap: mean over seeds.
        low: lower end of its 95 % interval, over seeds and test images.
        high: upper end.
    """

    share: float
    labels: int
    mean_ap: float
    low: float
    high: float


@dataclass(frozen=True)
class Extrapolation:
    """The fitted curves at a number of labels that was not measured: their median and 95 % interval."""

    labels: int
    mean_ap: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """A learning curve.

    Attributes:
        points: F points, the fewest labels first.
        ahead: extrapolations to twice and ten times the labels.
        backtest: extrapolation to the last point from all but the last three; None with fewer than six points.
        seeds: K.
        test_labels: number of known labels that were scored on.
    """

    points: Sequence[Point]
    ahead: Sequence[Extrapolation]
    backtest: Extrapolation | None
    seeds: int
    test_labels: int


def check_parts(parts: Sequence[Observation]) -> None:
    """Refuse parts that do not make a curve, before data are read.

    Raises:
        UserError: a part is not a share or a number of labels of both kinds.
    """
    if wrong := [part.name for part in parts if part.protocol not in ("fraction", "labels")]:
        raise UserError(f"--shares: {wrong[0]} makes no curve; give parts of the observed labels, such as 0.25,0.5,1")


def with_test_part(
    train: LabelledImages, test: LabelledImages, reporter: Reporter
) -> tuple[LabelledImages, LabelledImages]:
    """Training and test images; if both are the same images, a quarter of them is held out for the test."""
    if not set(train.image_ids) & set(test.image_ids):
        return train, test.with_classes(train.class_names)
    order = np.random.default_rng(0).permutation(len(train.image_ids))
    quarter = max(len(order) // 4, 1)
    reporter.note(f"no test split: {quarter} of {len(order)} images are held out to score on")
    return train.rows(np.sort(order[quarter:])), train.rows(np.sort(order[:quarter]))


def learning_curve(
    subject: Subject,
    test: tuple[RegionSource, Labels],
    method: str,
    recipe: Recipe,
    *,
    parts: Sequence[Observation],
    seeds: int = 3,
    resamples: int = 200,
    reporter: Reporter | None = None,
) -> Curve:
    """Train on parts of the observed labels, score on other images, and extrapolate.

    Args:
        subject: images, and the labels of which parts are used.
        test: regions of other images and their (N', C) labels, in the same order of classes.
        method: a name of `METHODS`.
        recipe: of all trainings.
        parts: of the observed labels.
        seeds: number K of random choices of labels at each point; with all labels, K starts.
        resamples: of the test images.
        reporter: receives progress.

    Raises:
        UserError: fewer than three parts, one with more labels than there are, or no test label is present.
    """
    reporter = reporter or Reporter()
    by_size = {part.share(subject.labels): part for part in parts}
    if len(by_size) < 3:
        raise UserError(
            f"a curve needs at least 3 points, and there are {len(by_size)}; give more with --shares or --labels"
        )
    source, labels = test
    if not (labels == PRESENT).any():
        raise UserError("no test label is present, so there is nothing to score on")
    scores, resampled, counts = [], [], []
    with reporter.progress("numbers of labels") as say:
        for done, (_, part) in enumerate(sorted(by_size.items()), 1):
            seen = [hide(subject.labels, part.keep(subject.labels, MASKS + seed)) for seed in range(seeds)]
            found = _margins(subject, seen, method, recipe, source)
            scores.append([evaluate(one, labels, subject.class_names, resamples=0).mean_ap for one in found])
            resampled.append([bootstrap_map(one, labels, resamples) for one in found])
            counts.append(round(float(np.mean([(one != UNKNOWN).sum() for one in seen]))))
            say(done, len(by_size))
    known = float((subject.labels != UNKNOWN).mean())
    shares = [round(share / known, 12) for share in sorted(by_size)]
    return curve_of(shares, np.array(counts), np.array(scores), np.array(resampled), int((labels != UNKNOWN).sum()))


def _margins(
    subject: Subject, parts: Sequence[Labels], method: str, recipe: Recipe, test: RegionSource
) -> list[NDArray[np.float64]]:
    """(N', C) margins of the test images by a training on each part, in the order of the test images."""
    recipe, costly = resolve_unknown(recipe, subject.labels)  # of all parts alike
    runs = []
    for seed, part in enumerate(parts):
        start = recipe.start_options()
        recognizer = create_recognizer(method, subject.backbone, subject.class_names, seed=seed, **start)
        begun = begin_run(
            recognizer, subject.source, part, recipe, seed=seed, order_seed=subject.order_seed, costly=costly
        )
        runs.append(begun.run)
    if METHOD_TABLE[method].trained:
        fit_runs(runs, subject.source, order_seed=subject.order_seed)
    return [predict_margins(run.recognizer.fold(), test)[1] for run in runs]


def curve_of(
    shares: Sequence[float],
    counts: NDArray[np.int64],
    scores: NDArray[np.float64],
    resampled: NDArray[np.float64],
    test_labels: int,
) -> Curve:
    """The curve of F shares and (F,) counts of labels, (F, K) scores, and (F, K, S) scores on resampled test images."""
    draws = _draws(scores, resampled)
    measured = [estimate(scores[[place]], resampled[[place]], [1]) for place in range(len(counts))]
    points = [
        Point(share, int(count), one.value, max(one.low, 0.0), min(one.high, 1.0))
        for share, count, one in zip(shares, counts, measured, strict=True)
    ]
    most = float(counts[-1])
    ahead = [_extrapolate(counts, draws, most * times) for times in (2.0, FAR)]
    backtest = _extrapolate(counts[:-3], draws[:, :-3], most) if len(counts) >= 6 else None
    return Curve(points, ahead, backtest, scores.shape[1], test_labels)


def _draws(scores: NDArray[np.float64], resampled: NDArray[np.float64]) -> NDArray[np.float64]:
    """(S, F) means over seeds, resampled over test images and seeds."""
    sizes, seeds = scores.shape
    by_image = resampled.mean(axis=1)
    by_image = by_image[:, ~np.isnan(by_image).any(axis=0)]  # a resample may hold no present label
    spread = scores.std(axis=1, ddof=1) / np.sqrt(seeds) if seeds > 1 else np.zeros(sizes)
    by_seed = np.random.default_rng(0).standard_t(max(seeds - 1, 1), by_image.T.shape) * spread
    drawn: NDArray[np.float64] = scores.mean(axis=1) + (by_image - by_image.mean(axis=1, keepdims=True)).T + by_seed
    return drawn


def _ends(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.clip(np.quantile(values, [0.025, 0.975]), 0, 1)
    return float(low), float(high)


def _extrapolate(counts: NDArray[np.int64], draws: NDArray[np.float64], labels: float) -> Extrapolation:
    """Extrapolate curves through (S, F) draws to a number of labels."""
    extrapolated = np.array([_fitted(counts / counts[-1], 1 - draw, labels / counts[-1]) for draw in draws])
    return Extrapolation(round(labels), float(1 - np.median(extrapolated)), *_ends(1 - extrapolated))


def _fitted(x: NDArray[np.float64], error: NDArray[np.float64], at: float) -> float:
    """1 − mAP at `at` on the curve floor + gain · x^−rate fitted to (F,) points; x is relative to the last point."""
    last = min(max(float(error[-1]), 0.01), 0.99)  # a resample can lie outside 0..1

    def residuals(values: NDArray[np.float64]) -> NDArray[np.float64]:
        floor, gain, rate = values
        found: NDArray[np.float64] = floor + gain * x**-rate - error
        return found

    fitted = least_squares(residuals, [last / 2, last / 2, 0.3], bounds=([0.0, 0.0, RATES[0]], [1.0, 1.0, RATES[1]])).x
    return float(fitted[0] + fitted[1] * at ** -fitted[2])
