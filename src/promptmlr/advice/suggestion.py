"""What to label next: unknown (image, class) cells by their expected information.

Letters: N images, C classes.
"""

import csv
import heapq
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from promptmlr.data import LabelledImages
from promptmlr.data.formats.label_studio import pre_annotated
from promptmlr.errors import UserError
from promptmlr.features import RegionCache, open_regions
from promptmlr.files import replacing, write_text
from promptmlr.labels import PRESENT, UNKNOWN
from promptmlr.names import first_names
from promptmlr.prediction import predict_source
from promptmlr.prior.positive_only import positive_only_classes
from promptmlr.regions import FreshRegions
from promptmlr.reporting import Reporter
from promptmlr.run import Run

__all__ = ["Suggestion", "absent_first", "rank_cells", "suggest", "write_suggestions", "write_tasks"]

ABSENT_FIRST = 2  # cells of a positive-only class
MOST_SHARE = 0.5  # largest expected prevalence that cells are compared with
ASKED = 1e3  # added to the distance of images with an earlier suggestion; larger than any difference of log odds
TINY = 1e-9  # smallest probability in a logarithm


@dataclass(frozen=True)
class Suggestion:
    """An informative cell.

    Attributes:
        image_id: the image's id in its data set.
        class_name: the class.
        probability: the run's P(present).
        gain: expected information of its label, without a unit; see `rank_cells`.
    """

    image_id: str
    class_name: str
    probability: float
    gain: float


def rank_cells(
    probabilities: NDArray[np.floating],
    unknown: NDArray[np.bool_],
    present: NDArray[np.integer],
    count: int,
    positive_only: NDArray[np.bool_] | None = None,
) -> list[tuple[int, int, float]]:
    """The `count` most informative unknown cells, the best first.

    The gain of a cell is the standard deviation of its label, √(p (1 − p)), over √(1 + present labels of its class): a
    certain label adds no information, and classes with few positives gain most from another. The gain is halved for
    every cell of the same image that was chosen before, and falls with the share of its class among the chosen, so that
    a single unusual image or hard class does not take all places.

    A few cells of positive-only classes come first, whatever their gain (`absent_first`): without a known absent label
    the level of such a class's probabilities is undetermined.

    Args:
        probabilities: (N, C) P(present), calibrated.
        unknown: (N, C) bool, the cells to choose from.
        present: (C,) number of present labels of each class.
        count: number of cells; fewer if fewer are unknown.
        positive_only: (C,) classes with present and without absent labels; None means no class.

    Returns:
        (image, class, gain) of each.
    """
    alone = np.sqrt(probabilities * (1 - probabilities)) / np.sqrt(1 + present)
    rows, columns = np.nonzero(unknown)
    of_image, of_class = np.zeros(unknown.shape[0], np.int64), np.zeros(unknown.shape[1], np.int64)
    share = count / unknown.shape[1]

    def gain(row: int, column: int) -> float:
        return float(alone[row, column] * 0.5 ** of_image[row] / (1 + of_class[column] / share))

    # Gains only fall, so a cell that is still on top after its gain was recomputed is the best (lazy greedy).
    heap = list(zip((-alone[rows, columns]).tolist(), rows.tolist(), columns.tolist(), strict=True))
    heapq.heapify(heap)
    chosen: dict[tuple[int, int], float] = {}

    def take(row: int, column: int) -> None:
        chosen[row, column] = gain(row, column)
        of_image[row] += 1
        of_class[column] += 1

    for row, column in [] if positive_only is None else absent_first(probabilities, unknown, positive_only)[:count]:
        take(row, column)
    while heap and len(chosen) < count:
        before, row, column = heap[0]
        now = -gain(row, column)
        if now > before and (row, column) not in chosen:
            heapq.heapreplace(heap, (now, row, column))
            continue
        heapq.heappop(heap)
        if (row, column) not in chosen:
            take(row, column)
    return [(row, column, worth) for (row, column), worth in chosen.items()]


def absent_first(
    probabilities: NDArray[np.floating], unknown: NDArray[np.bool_], positive_only: NDArray[np.bool_]
) -> list[tuple[int, int]]:
    """Up to `ABSENT_FIRST` unknown cells of each positive-only class that are probably, but not certainly, absent.

    They are the cells nearest to the expected prevalence of their class. An image that clearly lacks the class adds no
    information, and one that probably shows it is rarely absent; what is undetermined is the level for a typical image.
    Classes take turns; images with an earlier suggestion come last.

    Args:
        probabilities: as in `rank_cells`; so are the others.
        unknown: see `probabilities`.
        positive_only: see `probabilities`.

    Returns:
        (image, class) of each.
    """
    share = np.minimum(probabilities.mean(axis=0, dtype=np.float64), MOST_SHARE)
    cost = np.where(unknown, np.abs(_log_odds(probabilities) - _log_odds(share)), np.inf)
    asked: list[tuple[int, int]] = []
    before = np.zeros(len(cost))
    for column in np.tile(np.flatnonzero(positive_only), ABSENT_FIRST).tolist():
        row = int((cost[:, column] + before).argmin())
        if np.isfinite(cost[row, column]):
            asked.append((row, column))
            cost[row, column], before[row] = np.inf, ASKED
    return asked


def _log_odds(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    inside = np.clip(probabilities.astype(np.float64), TINY, 1 - TINY)
    odds: NDArray[np.float64] = np.log(inside) - np.log1p(-inside)
    return odds


def suggest(
    run: Run,
    labelled: LabelledImages,
    count: int,
    *,
    cache: RegionCache | None = None,
    batch_size: int | None = None,
    workers: int = 2,
    reporter: Reporter | None = None,
) -> list[Suggestion]:
    """The unknown cells of a data set that are most informative for a run, the best first.

    Args:
        run: trained on these images or others; cells of classes it does not know are not asked for.
        labelled: images and the labels that are known.
        count: largest number of suggestions.
        cache: where regions are stored.
        batch_size: images through the tower at once; None chooses.
        workers: threads that decode images.
        reporter: receives progress, and the unreadable images, which are left out.

    Raises:
        UserError: no label is unknown, or run and data have no class in common.
    """
    reporter = reporter or Reporter()
    names = [name for name in labelled.class_names if name in run.class_names]
    if not names:
        raise UserError(f"the run knows none of the classes of {labelled.source}; train one on them first")
    labels = labelled.labels[:, [labelled.class_names.index(name) for name in names]]
    wanted = np.flatnonzero((labels == UNKNOWN).any(axis=1))
    if not len(wanted):
        raise UserError(f"{labelled.source}: no label is unknown, so there is nothing to ask")
    fresh = FreshRegions(run.backbone, [labelled.images[int(i)] for i in wanted], workers=workers, skip_unreadable=True)
    kept, source = open_regions(fresh, cache, batch_size=batch_size, reporter=reporter)
    with reporter.progress("predicting") as say:
        found, probabilities = predict_source(run.calibrated, source, progress=say)
    for error in fresh.unreadable.values():
        reporter.note(f"unreadable, left out: {error}")
    images = wanted[kept][found]
    probabilities = probabilities[:, [run.class_names.index(name) for name in names]]
    unknown, present = labels[images] == UNKNOWN, (labels == PRESENT).sum(axis=0)
    positive_only = positive_only_classes(labels) & (present > 0)
    ranked = rank_cells(probabilities, unknown, present, count, positive_only)
    if positive_only.any():
        which = [name for name, tick in zip(names, positive_only, strict=True) if tick]
        first = min(len(absent_first(probabilities, unknown, positive_only)), count)
        reporter.note(
            f"no label says where these are absent: {first_names(which)}. So the first {first} cells are probable "
            "absences of them: without any, nobody knows how probable these classes are"
        )
    return [
        Suggestion(labelled.image_ids[images[row]], names[column], float(probabilities[row, column]), gain)
        for row, column, gain in ranked
    ]


def write_suggestions(path: Path, suggestions: Sequence[Suggestion]) -> None:
    """Write a CSV with the columns image, class, probability and gain, in rank order, atomically."""
    with replacing(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "class", "probability", "gain"])
        writer.writerows(
            [one.image_id, one.class_name, f"{one.probability:.6f}", f"{one.gain:.6g}"] for one in suggestions
        )


def write_tasks(path: Path, suggestions: Sequence[Suggestion], labelled: LabelledImages, model: str) -> None:
    """Write Label Studio tasks, one per image in the order of its best cell, with the run's predictions.

    The suggested classes are in the task's data under `ask`; those with a probability above ½ are preselected in
    `labels`, the others in `absent`, as `promptmlr convert --to label-studio` writes and reads them.

    Args:
        path: a `.json` file, written atomically.
        suggestions: in rank order.
        labelled: their images.
        model: name of the predicting model.
    """
    names = dict(zip(labelled.image_ids, labelled.images, strict=True))
    asked: dict[str, list[Suggestion]] = {}
    for one in suggestions:
        asked.setdefault(one.image_id, []).append(one)
    tasks = []
    for image_id, cells in asked.items():
        there = [one.class_name for one in cells if one.probability > 0.5]
        rest = [one.class_name for one in cells if one.probability <= 0.5]
        place = os.path.relpath(names[image_id].name, path.parent).replace(os.sep, "/")
        tasks.append(
            pre_annotated(
                place,
                {"labels": there, "absent": rest},
                model,
                {"ask": ", ".join(one.class_name for one in cells)},
            )
        )
    write_text(path, json.dumps(tasks, ensure_ascii=False, indent=1) + "\n")
