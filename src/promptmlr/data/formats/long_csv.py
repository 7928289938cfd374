"""A CSV with one row per image and class: columns image, label and value (1, 0 or blank), optionally split."""

import csv
from pathlib import Path

import numpy as np

from promptmlr.data.formats.base import Format, Writer
from promptmlr.data.formats.csv import CODES, code_hint
from promptmlr.data.images import ImageFile
from promptmlr.data.options import DataOptions
from promptmlr.data.output import Output
from promptmlr.data.rows import LabelledRows, Names, check_rows, rows_of_names
from promptmlr.data.table import Records, read_records
from promptmlr.errors import UserError, nearest
from promptmlr.labels import UNKNOWN
from promptmlr.names import checked_class_names

__all__ = ["FORMAT", "is_long", "read_long_csv_rows", "write_long_csv"]

_COLUMNS = ("image", "label", "value", "split")


def is_long(header: list[str]) -> bool:
    """Whether a CSV with these columns is one: `image` and `label`, and nothing but `value` and `split` beside."""
    return {"image", "label"} <= set(header) <= set(_COLUMNS)


def read_long_csv_rows(path: Path, images: Path | None, options: DataOptions) -> LabelledRows:
    """Read a CSV with columns image, label and value, and optionally split.

    A value is 1/0, y/n, yes/no or true/false; blank is unknown, and so is a class that an image has no row for, unless
    `options.unlisted` says absent. Without a column `value` every row says that a class is present. A row with a blank
    label names an image of which nothing is known. Classes are sorted.

    Args:
        path: the file.
        images: the folder that image paths are relative to, by default that of the file.
        options: `unlisted`.

    Raises:
        UserError: the file cannot be read, lacks a column, says two things of an image's class or puts it in two
            splits; without `value`, `options.unlisted` is open.
    """
    records = read_records(path)
    for name in ("image", "label"):
        if name not in records.header:
            raise UserError(f"{path}: no column {name!r}; {nearest(name, records.header)}")
    rows = _Rows(records)
    first = rows.first
    folder = images or path.parent
    refs = {image_id: ImageFile(folder / image_id) for image_id in rows.first}
    numbers = list(first.values())

    def where(i: int) -> str:
        return records.where(numbers[i])

    if "value" not in records.header:
        names: dict[str, list[str]] = {image_id: [] for image_id in refs}
        for image_id, label in zip(rows.image_ids, rows.labels, strict=True):
            if label:
                names[image_id].append(label)
        return rows_of_names(
            [Names(present) for present in names.values()],
            list(refs),
            list(refs.values()),
            splits=rows.splits(),
            kind="long CSV",
            path=path,
            where=where,
            options=options,
        )
    check_rows(path, list(refs), where)
    labels, class_names = rows.decoded()
    notes = ["classes without a row for an image are unknown in it"]
    if options.unlisted == "absent":
        labels[~rows.mentioned] = 0
        notes = ["classes without a row for an image are absent from it"]
    return LabelledRows(
        list(refs),
        list(refs.values()),
        labels,
        class_names,
        rows.splits(),
        "long CSV",
        path,
        where,
        notes=tuple(notes),
    )


class _Rows:
    """The cells of a long CSV; `first` says which row names an image first."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self.image_ids = records.column("image")
        self.labels = [label.replace("_", " ").strip() for label in records.column("label")]
        self.first: dict[str, int] = {}
        for row, image_id in enumerate(self.image_ids):
            self.first.setdefault(image_id, row)

    def splits(self) -> list[str] | None:
        if "split" not in self.records.header:
            return None
        found: dict[str, str] = {}
        for row, (image_id, split) in enumerate(zip(self.image_ids, self.records.column("split"), strict=True)):
            if found.setdefault(image_id, split) != split:
                raise UserError(
                    f"{self.records.where(row)}: image {image_id!r} is of split {found[image_id]!r} in row "
                    f"{self.records.rows[self.first[image_id]]}; keep one of them"
                )
        return list(found.values())

    def decoded(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """Labels (N, C) by the column `value`; `mentioned` (N, C) is where there is a row."""
        class_names = checked_class_names(sorted({label for label in self.labels if label}), str(self.records.path))
        columns = {name: column for column, name in enumerate(class_names)}
        places = {image_id: place for place, image_id in enumerate(self.first)}
        labels = np.full((len(places), len(columns)), UNKNOWN, dtype=np.int8)
        self.mentioned = np.zeros(labels.shape, dtype=np.bool_)
        for row, (image_id, label, value) in enumerate(
            zip(self.image_ids, self.labels, self.records.column("value"), strict=True)
        ):
            code = CODES.get(value.lower())
            if code is None:
                hint = code_hint(value).split(" (")[0]
                raise UserError(f"{self.records.where(row)}, column 'value': cannot read {value!r}; {hint}")
            if not label:
                if code != UNKNOWN:
                    raise UserError(f"{self.records.where(row)}: a value without a label; name the class")
                continue
            place = places[image_id], columns[label]
            if self.mentioned[place] and labels[place] != code:
                raise UserError(
                    f"{self.records.where(row)}: an earlier row says something else of {label!r} in {image_id!r}; "
                    "keep one of them, or leave the value blank in both if nobody knows"
                )
            self.mentioned[place] = True
            labels[place] = code
        return labels, class_names


def write_long_csv(output: Output) -> list[str]:
    """Write a row for every known label; a blank value only where an image or a class would else be lost."""
    known = np.zeros(len(output.class_names), dtype=np.bool_)
    for entry in output.entries:
        known |= entry.labels != UNKNOWN
    pending = [output.class_names[column] for column in np.flatnonzero(~known)]
    with output.table() as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", *(["split"] if output.has_splits else []), "label", "value"])
        for split, name, labels in output.rows():
            start = [name, *([split] if output.has_splits else [])]
            rows: list[list[str]] = [[output.class_names[c], str(labels[c])] for c in np.flatnonzero(labels != UNKNOWN)]
            rows += [[class_name, ""] for class_name in pending]
            pending = []
            writer.writerows([*start, *row] for row in rows or [["", ""]])
    return []


FORMAT = Format(
    "long-csv",
    "a table with a row per image and class: columns image, label and value",
    lambda source: is_long(source.header),
    read_long_csv_rows,
    writer=Writer(write_long_csv, ".csv"),
)
