"""Suggestions that somebody else ranked: what `promptmlr suggest` writes."""

import csv
from pathlib import Path

from promptmlr.data import LabelledImages
from promptmlr.errors import UserError, nearest
from promptmlr.reporting import Reporter, counted

__all__ = ["read_suggestions"]

COLUMNS = ("image", "class", "probability")

Places = dict[tuple[int, int], float | None]


def read_suggestions(path: Path, labelled: LabelledImages, reporter: Reporter) -> Places:
    """Cells in rank order, as (row, column) of some images and their classes, with the probability where one is said.

    Args:
        path: a CSV with the columns image, class and probability.
        labelled: the images; suggestions of others are left out.
        reporter: told how many these are.

    Raises:
        UserError: no such file, a column is missing, a probability is none, or no suggestion is of these images.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            header = reader.fieldnames or ()
            for column in COLUMNS:
                if column not in header:
                    raise UserError(f"{path}: no column {column!r}; {nearest(column, header)}")
            listed = [_suggestion(path, number, row) for number, row in enumerate(reader, start=2)]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a CSV file in UTF-8 ({error}); write it with `promptmlr suggest`") from error
    rows = {image_id: row for row, image_id in enumerate(labelled.image_ids)}
    columns = {name: column for column, name in enumerate(labelled.class_names)}
    known = {(rows[i], columns[name]): p for i, name, p in listed if i in rows and name in columns}
    if not known:
        raise UserError(f"{path}: none of its {counted(len(listed), 'suggestion')} is a cell of {labelled.source}")
    if len(known) < len(listed):
        reporter.note(f"{counted(len(listed) - len(known), 'suggestion')} of {path} are of cells that are not there")
    return known


def _suggestion(path: Path, number: int, row: dict[str, str | None]) -> tuple[str, str, float | None]:
    image, name, text = ((row[column] or "").strip() for column in COLUMNS)
    try:
        probability = float(text) if text else None
    except ValueError:
        probability = -1.0
    if not image or not name or (probability is not None and not 0 <= probability <= 1):
        raise UserError(f"{path}, row {number}: an image, a class and a probability from 0 to 1 are needed")
    return image, name.replace("_", " "), probability
