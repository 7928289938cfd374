"""Observed labels that may be wrong, by cleanlab's method.

The quality of a label is its self-confidence: its probability under a recognizer that was not trained on it. Confident
learning (Northcutt, Jiang and Chuang, 2021) decides class by class which labels are issues.
"""

import csv
import importlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from promptmlr.crossvalidation import FOLDS, Subject, calibrated, out_of_fold
from promptmlr.data import LabelledImages
from promptmlr.errors import UserError
from promptmlr.features import RegionCache
from promptmlr.files import replacing
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN
from promptmlr.names import first_names
from promptmlr.opening import open_images
from promptmlr.prior.positive_only import positive_only_classes
from promptmlr.reporting import Reporter
from promptmlr.run import Run

__all__ = ["LabelQuality", "audit_run", "label_qualities", "require_cleanlab", "write_label_qualities"]


@dataclass(frozen=True)
class LabelQuality:
    """An observed label with its quality.

    Attributes:
        image_id: the image's id in its data set.
        class_name: the class.
        label: 1 present, 0 absent, as in the data.
        quality: P(the label is right), its self-confidence.
        issue: whether confident learning calls it a label issue.
    """

    image_id: str
    class_name: str
    label: int
    quality: float
    issue: bool


def label_qualities(labelled: LabelledImages, margins: NDArray[np.float64]) -> list[LabelQuality]:
    """All observed labels that have a margin, the lowest quality first.

    Args:
        labelled: N images and C classes.
        margins: (N, C) from `out_of_fold`, NaN where there is none.

    Raises:
        UserError: cleanlab is not installed.
    """
    labels = labelled.labels
    probabilities = calibrated(margins, labels)
    judged = (labels != UNKNOWN) & ~np.isnan(probabilities)
    quality = np.where(labels == PRESENT, probabilities, 1 - probabilities)
    issue = np.zeros(labels.shape, dtype=np.bool_)
    for column in range(labels.shape[1]):
        rows = np.flatnonzero(judged[:, column])
        issue[rows, column] = _issues(labels[rows, column], probabilities[rows, column])
    rows, columns = np.nonzero(judged)
    order = np.lexsort((quality[rows, columns], ~issue[rows, columns]))
    return [
        LabelQuality(
            labelled.image_ids[row],
            labelled.class_names[column],
            int(labels[row, column]),
            float(quality[row, column]),
            bool(issue[row, column]),
        )
        for row, column in zip(rows[order], columns[order], strict=True)
    ]


def audit_run(
    run: Run,
    labelled: LabelledImages,
    *,
    seed: int = 0,
    cache: RegionCache | None = None,
    workers: int = 2,
    reporter: Reporter | None = None,
) -> list[LabelQuality]:
    """`label_qualities` of all observed labels, by cross-validation with the run's method and recipe.

    Images that cannot be read are left out.

    Args:
        run: gives method and recipe; its backbone is loaded.
        labelled: N images and C classes.
        seed: of folds and starts.
        cache: where regions are stored.
        workers: threads that decode images.
        reporter: receives progress and messages.

    Raises:
        UserError: cleanlab is not installed, no label is known, or fewer are present than there are folds.
    """
    reporter = reporter or Reporter()
    if not (labelled.labels != UNKNOWN).any():
        raise UserError(f"{labelled.source}: no label is known, so there is none to audit")
    positive_only = positive_only_classes(labelled.labels)
    if not positive_only.any():  # else unknown labels have a cost too
        labelled = labelled.rows(np.flatnonzero((labelled.labels != UNKNOWN).any(axis=1)))
    labelled, source = open_images(
        labelled, run.backbone, cache=cache, skip_unreadable=True, workers=workers, reporter=reporter
    )
    subject = Subject(run.backbone, labelled.class_names, source, labelled.labels, seed)
    with reporter.progress(f"epochs of {FOLDS} trainings side by side") as say:
        margins = out_of_fold(subject, run.config.method, run.config.recipe, say)
    found = label_qualities(labelled, margins)
    if positive_only.any():
        which = [name for name, tick in zip(labelled.class_names, positive_only, strict=True) if tick]
        reporter.note(
            f"no label says where these are absent: {first_names(which)}; label issues need labels of both kinds, so "
            "the labels of these classes are ranked and none is called an issue"
        )
    return found


def write_label_qualities(path: Path, found: Sequence[LabelQuality]) -> None:
    """Write a CSV with the columns image, class, label, quality and issue, in rank order, atomically."""
    with replacing(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "class", "label", "quality", "issue"])
        writer.writerows(
            [one.image_id, one.class_name, one.label, f"{one.quality:.6f}", "yes" if one.issue else ""] for one in found
        )


def require_cleanlab() -> ModuleType:
    """The module `cleanlab.filter`.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module("cleanlab.filter")
    except ImportError:
        raise UserError("audit needs cleanlab; install it with pip install 'promptmlr[audit]'") from None


def _issues(labels: NDArray[np.int8], probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(K,) which labels of one class are issues by confident learning; none if all labels are of one kind."""
    none = np.zeros(labels.shape, dtype=np.bool_)
    if min((labels == PRESENT).sum(), (labels == ABSENT).sum()) == 0:
        return none
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it may flag too little where a class has one label of a kind
        found = require_cleanlab().find_label_issues(
            labels.astype(np.int64),
            np.stack([1 - probabilities, probabilities], axis=1),
            filter_by="prune_by_noise_rate",
            n_jobs=1,
            verbose=False,
        )
    marked: NDArray[np.bool_] = none | found
    return marked
