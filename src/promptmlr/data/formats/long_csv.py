"""A CSV with one row per image and class: columns image, label and value (1, 0 or blank), optionally split."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from promptmlr.data.codes import Codes
from promptmlr.data.columns import LABELS, columns_of, folded, shape_of
from promptmlr.data.formats.base import Format, Writer
from promptmlr.data.formats.list_csv import Chosen, Images, list_rows
from promptmlr.data.lists import cell_of, names_in
from promptmlr.data.options import DataOptions
from promptmlr.data.output import Output
from promptmlr.data.rows import LabelledRows, ListedRows, Names
from promptmlr.data.table import Table
from promptmlr.data.unclear import decoded, read_rows
from promptmlr.data.unclear_rows import SEVERAL
from promptmlr.errors import UserError
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN
from promptmlr.names import first_names
from promptmlr.options.data import Unclear

__all__ = ["FORMAT", "long_rows", "read_long_csv_rows", "write_long_csv"]


def read_long_csv_rows(path: Path, images: Path | None, options: DataOptions) -> LabelledRows:
    """Read a table with columns of images, labels and values, and optionally one of splits.

    A value is a cell as in a table with a column per class; blank is unknown, and so is a class that an image has no
    row for, unless `options.unlisted` says absent. Without a column of values every row says that a class is present,
    or all classes of a list where no image has two rows. A row with a blank label names an image of which nothing is
    known. Classes are sorted.

    Args:
        path: the file.
        images: the folder that image paths are relative to, by default that of the file.
        options: `unlisted`, `codes`, and which columns and names are which.

    Raises:
        UserError: the file cannot be read, lacks a column, says two things of an image's class or puts it in two
            splits.
        Unclear: without `value`, `options.unlisted` is open.
    """
    return read_rows(path, options, lambda table, chosen: long_rows(table, images or path.parent, chosen))


def long_rows(table: Table, folder: Path, options: DataOptions) -> LabelledRows:
    """Rows of a table with a row per image and class."""
    if "value" not in map(folded, table.header) and options.value_column is None:
        return list_rows(table, folder, options, merged=True)
    columns = columns_of(table.path, table.header, options, table.column)
    label = columns.one_of(LABELS, options.label_column)
    value = columns.one_of(("value",), options.value_column, "--value-column")
    if label is None or value is None:
        raise UserError(
            f"{table.path}: it needs a column label and a column value, and has {first_names(table.header)}"
        )
    columns = columns.without(label, value)
    images = Images(table, columns, folder, merged=True)
    codes = decoded(table, [value], Codes.of(options.codes), options)[:, 0].tolist()
    chosen = Chosen(table.path, options, columns)
    written = table.column(label)
    labels = [chosen.of(names_in(name, None, table.where(row))) for row, name in enumerate(written)]
    chosen.check()
    names = []
    for image_id, rows in images.rows.items():
        said: dict[str, list[int]] = {}
        for row in rows:
            if codes[row] != UNKNOWN and not written[row]:
                raise UserError(f"{table.where(row)}: a value without a label; name the class")
            for name in (name.replace("_", " ").strip() for name in labels[row]):
                said.setdefault(name, []).append(codes[row])
                if said[name][0] != codes[row] and options.several is None:
                    problem = (
                        f"{table.where(row)}: an earlier row says something else of {name!r} in {image_id!r}; keep one "
                        "of them, or leave the value blank in both if nobody knows"
                    )
                    raise Unclear(problem, SEVERAL)
        one_of = {name: _agreed(answers, options) for name, answers in said.items()}
        by_code = {code: [name for name, one in one_of.items() if one == code] for code in (PRESENT, ABSENT, UNKNOWN)}
        names.append(Names(by_code[PRESENT], by_code[ABSENT], unsure=by_code[UNKNOWN]))
    return ListedRows(
        names,
        list(images.rows),
        images.found(),
        splits=images.splits,
        kind="long CSV",
        path=table.path,
        where=images.where,
        class_names=chosen.classes,
        says_absent=True,
        notes=[*table.notes, *columns.note(), *chosen.note()],
    ).labelled(options)


def _agreed(answers: Sequence[int], options: DataOptions) -> int:
    """The label that several rows give together."""
    present, absent = answers.count(PRESENT), answers.count(ABSENT)
    if present and absent and (options.several != "majority" or present == absent):
        return UNKNOWN
    return PRESENT if present > absent else ABSENT if absent else UNKNOWN


def write_long_csv(output: Output) -> list[str]:
    """Write a row for every known label; a blank value only where an image or a class would else be lost."""
    known = np.zeros(len(output.class_names), dtype=np.bool_)
    for entry in output.entries:
        known |= entry.labels != UNKNOWN
    cells = [cell_of([name]) for name in output.class_names]
    pending = [cells[column] for column in np.flatnonzero(~known)]
    with output.table() as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", *(["split"] if output.has_splits else []), "label", "value"])
        for split, name, labels in output.rows():
            start = [name, *([split] if output.has_splits else [])]
            rows: list[list[str]] = [[cells[c], str(labels[c])] for c in np.flatnonzero(labels != UNKNOWN)]
            rows += [[cell, ""] for cell in pending]
            pending = []
            writer.writerows([*start, *row] for row in rows or [["", ""]])
    return []


FORMAT = Format(
    "long-csv",
    "a table with a row per image and class: columns image, label and value",
    lambda source: shape_of(source.header, source.options) == "long",
    read_long_csv_rows,
    selects=True,
    writer=Writer(write_long_csv, ".csv"),
)
