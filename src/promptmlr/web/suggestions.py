"""Which cells the labelling queue asks about, in which order: the one seam between it and whatever ranks them."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from promptmlr.advice.suggestion import suggest
from promptmlr.data import DataOptions, LabelledImages
from promptmlr.data.formats.csv import read_csv_rows
from promptmlr.data.rows import split_for
from promptmlr.errors import UserError, nearest
from promptmlr.features import RegionCache
from promptmlr.reporting import Reporter
from promptmlr.run import Run

__all__ = ["Cell", "Ranking", "ranked_by", "read_suggestions", "training_rows"]

_DEFAULTS = DataOptions()
COLUMNS = ("image", "class", "probability")


@dataclass(frozen=True)
class Cell:
    """A cell whose label would teach the run much.

    Attributes:
        image_id: the image, as the label CSV calls it.
        class_name: with spaces for underscores.
        probability: P(present) as the run sees it; None where nobody says.
    """

    image_id: str
    class_name: str
    probability: float | None


Ranking = Callable[[], Sequence[Cell]]
"""Gives the suggestions, the best first; may take long."""


def read_suggestions(path: Path) -> list[Cell]:
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
            return [_cell(path, number, row) for number, row in enumerate(reader, start=2)]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a CSV file in UTF-8 ({error}); write it with `promptmlr suggest`") from error


def training_rows(path: Path, images: Path | None = None, options: DataOptions = _DEFAULTS) -> LabelledImages:
    """The images and labels of a CSV that training may see: without rows of other splits, known labels or none.

    Raises:
        UserError: see `read_csv_rows`; no row is of split train.
    """
    table = read_csv_rows(path, images, options)
    train = None if table.splits is None else split_for("train", table.splits)
    chosen = [i for i, _ in enumerate(table.image_ids) if table.splits is None or table.splits[i] == train]
    if not chosen:
        raise UserError(f"{path}: no rows of split 'train'; only those are asked about")
    ids, files = [table.image_ids[i] for i in chosen], [table.images[i] for i in chosen]
    return LabelledImages.from_rows(ids, files, table.labels[chosen], table.class_names, f"CSV {path}")


def ranked_by(
    run: Run,
    labelled: LabelledImages,
    cache: RegionCache | None = None,
    workers: int = 2,
    reporter: Reporter | None = None,
    most: int = 1000,
) -> list[Cell]:
    """The unknown cells that `promptmlr suggest` would name, at most `most`.

    Raises:
        UserError: nothing is unknown, or run and data have no class in common.
    """
    found = suggest(run, labelled, most, cache=cache, workers=workers, reporter=reporter)
    return [Cell(one.image_id, one.class_name, one.probability) for one in found]


def _cell(path: Path, number: int, row: dict[str, str | None]) -> Cell:
    image, name, text = ((row[column] or "").strip() for column in COLUMNS)
    try:
        probability = float(text) if text else None
    except ValueError:
        probability = -1.0
    if not image or not name or (probability is not None and not 0 <= probability <= 1):
        raise UserError(f"{path}, row {number}: an image, a class and a probability from 0 to 1 are needed")
    return Cell(image, name.replace("_", " "), probability)
