"""Cross-validation over observed labels: K trainings side by side, each without one of K folds of the labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from promptmlr.backbone import Backbone
from promptmlr.calibration import fit_calibration
from promptmlr.errors import UserError
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN, Labels, label_folds
from promptmlr.methods import METHOD_TABLE, create_recognizer
from promptmlr.prediction import predict_margins
from promptmlr.prior.fitting import BegunRun, begin_run
from promptmlr.prior.positive_only import positive_only_classes, resolve_unknown
from promptmlr.recipes import Recipe
from promptmlr.regions import RegionSource
from promptmlr.reporting import Progress
from promptmlr.training import TrainingRun, fit_runs

__all__ = ["FOLDS", "Subject", "calibrated", "folds_of", "out_of_fold"]

FOLDS = 5


@dataclass(frozen=True)
class Subject:
    """Images and labels to train on.

    Attributes:
        backbone: the frozen CLIP.
        class_names: C names.
        source: regions of N images.
        labels: (N, C) int8.
        seed: of folds and starts.
        order_seed: of the order of images.
    """

    backbone: Backbone
    class_names: Sequence[str]
    source: RegionSource
    labels: Labels
    seed: int = 0
    order_seed: int = 0


def folds_of(labels: Labels, seed: int, folds: int = FOLDS) -> NDArray[np.int64]:
    """(N, C) the fold 0 … K − 1 of each known label, -1 for unknown ones; stratified by class and kind.

    Raises:
        UserError: fewer labels are present than there are folds.
    """
    present = int((labels == PRESENT).sum())
    if present < folds:
        raise UserError(
            f"{present} labels are present, and {folds} folds need one each; label more images before asking this"
        )
    return label_folds(labels, seed, folds)


def out_of_fold(
    subject: Subject,
    method: str,
    recipe: Recipe,
    progress: Progress | None = None,
    *,
    fold: NDArray[np.int64] | None = None,
    everywhere: bool = False,
) -> NDArray[np.float64]:
    """(N, C) margins of the observed labels by recognizers that did not see them, NaN where a label is unknown.

    The strength of a prior is chosen once, on all labels.

    Args:
        subject: what is trained on.
        method: a name of `METHODS`.
        recipe: of each training.
        progress: called after each epoch of all K together.
        fold: (N, C) of each known label, -1 of unknown ones; None takes `folds_of`.
        everywhere: return the mean margin of all K recognizers at unknown labels instead of NaN.

    Raises:
        UserError: as `folds_of`.
    """
    fold = folds_of(subject.labels, subject.seed) if fold is None else fold
    runs = _fold_runs(subject, method, recipe, fold)
    if METHOD_TABLE[method].trained:
        fit_runs(
            runs,
            subject.source,
            order_seed=subject.order_seed,
            on_epoch=None if progress is None else lambda reports: progress(reports[0].epoch, reports[0].epochs),
        )
    return _gathered(runs, subject.source, fold, everywhere=everywhere)


def _fold_runs(subject: Subject, method: str, recipe: Recipe, fold: NDArray[np.int64]) -> list[TrainingRun]:
    """A run for each fold, which does not see its labels; all have the same cost of unknown labels."""
    recipe, costly = resolve_unknown(recipe, subject.labels)

    def begun(labels: Labels, recipe: Recipe) -> BegunRun:
        start = recipe.start_options()
        recognizer = create_recognizer(method, subject.backbone, subject.class_names, seed=subject.seed, **start)
        return begin_run(
            recognizer,
            subject.source,
            labels,
            recipe,
            seed=subject.seed,
            order_seed=subject.order_seed,
            costly=costly,
        )

    if recipe.has_prior and METHOD_TABLE[method].trained:
        record = begun(subject.labels, recipe).record
        recipe = recipe.model_copy(update={"prior_strength": record.strength}) if record else recipe
    parts = [np.where(fold == number, np.int8(UNKNOWN), subject.labels) for number in range(int(fold.max()) + 1)]
    return [begun(part, recipe).run for part in parts]


def _gathered(
    runs: Sequence[TrainingRun], source: RegionSource, fold: NDArray[np.int64], *, everywhere: bool = False
) -> NDArray[np.float64]:
    """(N, C) margins: at known labels of the run that did not see them, at unknown ones NaN or the mean over runs."""
    found = np.full((len(runs), *fold.shape), np.nan)
    for number, run in enumerate(runs):
        kept, margins = predict_margins(run.recognizer.fold(), source)
        found[number, kept] = margins
    margins = np.take_along_axis(found, np.maximum(fold, 0)[None], axis=0)[0]
    return np.where(fold >= 0, margins, found.mean(axis=0) if everywhere else np.nan)


def calibrated(margins: NDArray[np.float64], labels: Labels) -> NDArray[np.float64]:
    """(N, C) out-of-fold margins → P(present), NaN where there is no margin; the lines are of the same labels.

    Positive-only classes get the scaling that the others share, because their own would make presence certain. Without
    labels of both kinds nothing can be fitted, and margins are taken as log odds.
    """
    seen = np.where(np.isnan(margins) | positive_only_classes(labels), np.int8(UNKNOWN), labels)
    if not (seen == PRESENT).any() or not (seen == ABSENT).any():
        odds: NDArray[np.float64] = expit(margins)
        return odds
    lines = fit_calibration(np.nan_to_num(margins), seen, seen != UNKNOWN)
    return np.where(np.isnan(margins), np.nan, lines.probabilities(np.nan_to_num(margins)))
