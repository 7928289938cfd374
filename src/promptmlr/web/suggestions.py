"""Which cells the labelling queue asks about, in which order: the one seam between it and whatever ranks them."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from promptmlr.data import ImageFile, LabelledImages
from promptmlr.data.csv import CODES
from promptmlr.data.table import read_table
from promptmlr.errors import UserError, nearest
from promptmlr.labels import UNKNOWN
from promptmlr.prediction import predict_source
from promptmlr.regions import FreshRegions
from promptmlr.reporting import Reporter

if TYPE_CHECKING:
    from promptmlr.features import RegionCache
    from promptmlr.run import Run

__all__ = ["Ranking", "Suggestion", "read_suggestions", "training_rows", "uncertain_first"]

COLUMNS = ("image", "class", "probability")


@dataclass(frozen=True)
class Suggestion:
    """A cell that is worth a label.

    Attributes:
        image_id: the image, as the label CSV calls it.
        class_name: with spaces for underscores.
        probability: P(present) as the run sees it; None where nobody says.
    """

    image_id: str
    class_name: str
    probability: float | None


Ranking = Callable[[], Sequence[Suggestion]]
"""Gives the suggestions, the best first; may take long."""


def read_suggestions(path: Path) -> list[Suggestion]:
    """Read what `promptmlr suggest` writes: a CSV with the columns image, class and probability, in rank order.

    Raises:
        UserError: no such file, a column is missing, or a probability is none.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            header = reader.fieldnames or ()
            for column in COLUMNS:
                if column not in header:
                    raise UserError(f"{path}: no column {column!r}; {nearest(column, header)}")
            return [_suggestion(path, number, row) for number, row in enumerate(reader, start=2)]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a CSV file in UTF-8 ({error}); write it with `promptmlr suggest`") from error


def training_rows(path: Path, images: Path | None = None) -> LabelledImages:
    """The images and labels of a CSV that training may see: without rows of other splits, known labels or none.

    Raises:
        UserError: see `read_table`; a bad cell; no row is of split train.
    """
    table = read_table(path, images)
    chosen = [i for i, _ in enumerate(table.rows) if table.splits is None or table.splits[i] == "train"]
    if not chosen:
        raise UserError(f"{path}: no rows of split 'train'; only those are asked about")
    labels = table.decode(CODES, lambda _: "write 1 for present, 0 for absent, nothing for unknown")
    ids = [table.image_ids[i] for i in chosen]
    files = [ImageFile((images or path.parent) / image_id) for image_id in ids]
    return LabelledImages.from_rows(ids, files, labels[chosen], table.class_names, f"CSV {path}")


def uncertain_first(
    run: "Run",
    labelled: LabelledImages,
    cache: "RegionCache | None" = None,
    workers: int = 2,
    reporter: Reporter | None = None,
    most: int = 1000,
) -> list[Suggestion]:
    """The unknown cells of the run's classes whose probability is nearest to a half, the nearest first.

    Images that cannot be read are left out.
    """
    from promptmlr.pipeline import readable_regions

    names = [name for name in labelled.class_names if name in run.class_names]
    unknown = labelled.labels[:, [labelled.class_names.index(name) for name in names]] == UNKNOWN
    wanted = np.flatnonzero(unknown.any(axis=1))
    if not len(wanted):
        return []
    fresh = FreshRegions(run.backbone, [labelled.images[int(i)] for i in wanted], workers=workers, skip_unreadable=True)
    kept, source = readable_regions(fresh, cache, reporter or Reporter())
    read, found = predict_source(run.calibrated, source)
    images = wanted[kept][read]
    probabilities = found[:, [run.class_names.index(name) for name in names]]
    doubt = np.where(unknown[images], np.abs(probabilities - 0.5), np.inf)
    order = np.argsort(doubt, axis=None, kind="stable")[: min(most, np.count_nonzero(unknown[images]))]
    cells = zip(*np.unravel_index(order, doubt.shape), strict=True)
    return [Suggestion(labelled.image_ids[images[i]], names[c], float(probabilities[i, c])) for i, c in cells]


def _suggestion(path: Path, number: int, row: dict[str, str | None]) -> Suggestion:
    image, name, text = ((row[column] or "").strip() for column in COLUMNS)
    try:
        probability = float(text) if text else None
    except ValueError:
        probability = -1.0
    if not image or not name or (probability is not None and not 0 <= probability <= 1):
        raise UserError(f"{path}, row {number}: an image, a class and a probability from 0 to 1 are needed")
    return Suggestion(image, name.replace("_", " "), probability)
