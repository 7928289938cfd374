"""A table with a row per image and a column per class: 1 present, 0 absent, blank unknown, or as `--codes` says."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from promptmlr.data.cells import LabelCells
from promptmlr.data.codes import Codes, cell_key
from promptmlr.data.columns import Columns, columns_of, has_images, is_image_name, shape_of
from promptmlr.data.formats.base import Changes, Format, Source, Writer, spaced
from promptmlr.data.formats.list_csv import Images, list_rows
from promptmlr.data.formats.long_csv import long_rows
from promptmlr.data.options import DataOptions
from promptmlr.data.output import Output
from promptmlr.data.rows import LabelledRows
from promptmlr.data.sheets import SHEETS, sheet_with
from promptmlr.data.table import TABLES, Table, read_table
from promptmlr.data.unclear import labels_of, read_rows
from promptmlr.data.unclear_rows import refuse_repeated
from promptmlr.errors import UserError
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN, Labels
from promptmlr.names import checked_class_names, first_names

__all__ = ["FORMAT", "class_rows", "read_csv_rows", "write_csv"]

_APART = re.compile(r"[\s,;|]+")
_LINES = 5


def read_csv_rows(path: Path, images: Path | None, options: DataOptions) -> LabelledRows:
    """Read a table with a column of images, optionally one of splits, and one per class.

    The whole file is checked, also other splits' rows.

    Args:
        path: the file.
        images: the folder that image paths are relative to, by default that of the file.
        options: `image_column`, `ignore` or `classes`, and `codes`.

    Raises:
        UserError: see `read_table`, `columns_of`; cells that are no codes.
        Unclear: other options would read it.
    """
    return read_rows(path, options, lambda table, chosen: class_rows(table, images or path.parent, chosen))


def class_rows(table: Table, folder: Path, options: DataOptions) -> LabelledRows:
    """Rows of a table with a column per class; or of one in which a column of labels was named after all."""
    if (options.label_column, options.class_after, options.value_column) != (None, None, None):
        return long_rows(table, folder, options)
    open_yet = options.format is None or "format" in options.inherited
    shape = shape_of(table.header, options) if open_yet else None  # where more was said than before
    if shape is not None:
        return (list_rows if shape == "list" else long_rows)(table, folder, options)
    path = table.path
    if not table.rows:
        raise UserError(f"{path}: a header without rows; add one row per image")
    columns = columns_of(path, table.header, options, table.column)
    columns.require_all(options)
    if len(table.header) == 1:
        raise UserError(
            f"{path}: no class in it, as {table.header[0]!r} is the only column; put commas between columns"
        )
    codes = Codes.of(options.codes)
    names = checked_class_names(columns.names(columns.rest), str(path))
    refuse_repeated(table, columns, codes, options)
    images = Images(table, columns, folder, merged=options.several is not None)
    labels = labels_of(table, columns, codes, options)
    blank = [names[place] for place in np.flatnonzero((labels == UNKNOWN).all(axis=0))]
    notes = [*table.notes, *columns.note(), *_codes_note(table, columns, codes, labels, options)]
    if blank:
        notes.append(f"no label at all of {first_names(list(map(repr, blank)))}; --ignore leaves out what is no class")
    if images.repeated:
        labels, disputed = _agreed(labels, list(images.rows.values()), options)
        notes.append(f"rows of an image are taken together; {disputed:,} labels on which they disagree are unknown")
    return LabelledRows(
        list(images.rows),
        images.found(),
        labels,
        names,
        images.splits,
        "CSV" if path.suffix.lower() == ".csv" else "table",
        path,
        images.where,
        notes=tuple(notes),
    )


def _agreed(labels: Labels, rows: Sequence[Sequence[int]], options: DataOptions) -> tuple[Labels, int]:
    """Labels (N, C) of N images from those of their rows, and about how many these disagree to the end."""
    together = np.full((len(rows), labels.shape[1]), UNKNOWN, dtype=np.int8)
    disputed = 0
    for image, of_image in enumerate(rows):
        present, absent = ((labels[list(of_image)] == code).sum(axis=0) for code in (PRESENT, ABSENT))
        lost = (present == absent) if options.several == "majority" else (present > 0)
        open_still = (present > 0) & (absent > 0) & lost
        together[image] = np.where(present > absent, PRESENT, np.where(absent > 0, ABSENT, UNKNOWN))
        together[image, open_still] = UNKNOWN
        disputed += int(np.count_nonzero(open_still))
    return together, disputed


def _codes_note(table: Table, columns: Columns, codes: Codes, labels: Labels, options: DataOptions) -> list[str]:
    if options.codes is None:
        if (labels == ABSENT).any() or not ((labels == PRESENT).any() and (labels == UNKNOWN).any()):
            return []
        texts = {cell_key(text): text for column in columns.rest for text in table.counts(column) if text}
        said = ",".join(f"{text}=present" for text in texts.values())
        return [f"blank cells are unknown, and none says absent; if a blank one does: --codes {said},=absent"]
    seen = set(map(cell_key, table.texts))
    idle = [repr(key) if key else "blank" for key in codes.labels if key not in seen]
    return [f"cells: {options.codes}" + (f"; no cell says {first_names(idle)}" if idle else "")]


def write_csv(output: Output) -> list[str]:
    """Write the same: every class as a column, in the order of the data."""
    names = ["image", *(["split"] if output.has_splits else []), *output.class_names]
    found = columns_of(Path("labels.csv"), names, DataOptions(), lambda _: "x")
    taken = [name for name in output.class_names if name not in found.names(found.rest)]
    if shape_of(names, DataOptions()) is not None:
        taken = [*taken, *output.class_names]
    if taken or names.count("image") > 1:
        name = taken[0] if taken else "image"
        raise UserError(f"a column {name!r} cannot hold the class {name!r}; rename the class, or --to long-csv")
    cells = {PRESENT: "1", ABSENT: "0", UNKNOWN: ""}
    with output.table() as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for split, name, labels in output.rows():
            row = [cells[code] for code in labels.tolist()]
            writer.writerow([name, *([split] if output.has_splits else []), *row])
    return []


def amend_table(path: Path, changes: Changes, options: DataOptions) -> bytes:
    """The same table with other texts in the cells of these labels, as its other cells write them."""
    if options.transposed or options.class_after is not None:
        raise UserError(f"{path}: its shape cannot be kept; --to csv writes a table that holds these labels")
    if path.suffix.lower() == ".parquet":
        raise UserError(f"{path}: Parquet is written anew; --to csv writes a table that holds these labels")
    table = read_table(path, options)
    columns = columns_of(path, table.header, options, table.column)
    image_ids = table.column(columns.image)
    if len(set(image_ids)) < len(image_ids):
        raise UserError(f"{path}: images have several rows, so it is unclear which an answer belongs to; --to csv")
    if path.suffix.lower() not in SHEETS:
        cells = LabelCells.parse(path, path.read_bytes(), options)
        return cells.with_labels({image_ids[row]: changed for row, changed in enumerate(changes) if changed}).content
    codes, places = Codes.of(options.codes), {spaced(table.header[column]): column for column in columns.rest}
    texts = list(dict.fromkeys(text for column in columns.rest for text in table.counts(column)))
    return sheet_with(
        path,
        options,
        {
            (table.rows[row], places[name] + 1): codes.spelled(label, texts)
            for row, changed in enumerate(changes)
            for name, label in changed.items()
        },
    )


def _is_table(source: Source) -> bool:
    if source.suffix == ".txt":  # there are many others
        words = (word for line in source.start[:_LINES] for word in _APART.split(line))
        return has_images(source.header, source.options) or any(map(is_image_name, words))
    if source.suffix != ".parquet":
        return source.suffix in TABLES
    return has_images(source.header, source.options) and "features" not in source.header


FORMAT = Format(
    "csv",
    "a table (.csv, .tsv, .xlsx, .parquet) with a row per image, a column of images and one column per class",
    _is_table,
    read_csv_rows,
    weak=True,
    says_all=True,
    selects=True,
    writer=Writer(write_csv, ".csv"),
    amend=amend_table,
)
