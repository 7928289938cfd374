"""How a method does on observed labels that it did not see: K trainings side by side, each without a K-th of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promptmlr.backbone import Backbone
from promptmlr.calibration import fit_calibration
from promptmlr.errors import UserError
from promptmlr.labels import PRESENT, UNKNOWN, Labels
from promptmlr.methods import METHOD_TABLE, create_recognizer
from promptmlr.prediction import predict_margins
from promptmlr.recipes import Recipe
from promptmlr.regions import RegionSource
from promptmlr.training import EpochReport, TrainingRun, fit_runs

__all__ = ["FOLDS", "Subject", "folds_of", "out_of_fold"]

FOLDS = 5


@dataclass(frozen=True)
class Subject:
    """What is trained on.

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
    """(N, C) the fold 0 … K − 1 of each known label, -1 of unknown ones; present labels are spread alike.

    Raises:
        UserError: fewer labels are present than there are folds.
    """
    present = int((labels == PRESENT).sum())
    if present < folds:
        raise UserError(
            f"{present} labels are present, and {folds} folds need one each; label more images before asking this"
        )
    found = np.full(labels.shape, -1)
    rng = np.random.default_rng(seed)
    for value in (PRESENT, 1 - PRESENT):
        places = rng.permutation(np.flatnonzero(labels == value))
        found.flat[places] = np.arange(len(places)) % folds
    return found


def out_of_fold(
    subject: Subject, method: str, recipe: Recipe, on_epoch: Callable[[EpochReport], None] | None = None
) -> NDArray[np.float64]:
    """(N, C) margins of the observed labels by recognizers that did not see them, NaN where a label is unknown.

    Args:
        subject: what is trained on.
        method: a name of `METHODS`.
        recipe: of each training.
        on_epoch: called after each epoch of all K together.

    Raises:
        UserError: as `folds_of`.
    """
    labels, fold = subject.labels, folds_of(subject.labels, subject.seed)
    runs = [
        TrainingRun(
            create_recognizer(
                method, subject.backbone, subject.class_names, seed=subject.seed, **recipe.start_options()
            ),
            np.where(fold == number, np.int8(UNKNOWN), labels),
            recipe,
        )
        for number in range(FOLDS)
    ]
    if METHOD_TABLE[method].trained:
        fit_runs(
            runs,
            subject.source,
            order_seed=subject.order_seed,
            on_epoch=None if on_epoch is None else lambda reports: on_epoch(reports[0]),
        )
    margins = np.full(labels.shape, np.nan)
    for number, run in enumerate(runs):
        kept, found = predict_margins(run.recognizer.fold(), subject.source)
        own = np.zeros(labels.shape, dtype=np.bool_)
        own[kept] = fold[kept] == number
        whole = np.zeros(labels.shape)
        whole[kept] = found
        margins[own] = whole[own]
    return margins


def calibrated(margins: NDArray[np.float64], labels: Labels) -> NDArray[np.float64]:
    """(N, C) out-of-fold margins → P(present), NaN where there is no margin; the lines are of the same labels."""
    seen = np.where(np.isnan(margins), np.int8(UNKNOWN), labels)
    lines = fit_calibration(np.nan_to_num(margins), seen, seen != UNKNOWN)
    return np.where(np.isnan(margins), np.nan, lines.probabilities(np.nan_to_num(margins)))
