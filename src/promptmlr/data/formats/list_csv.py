"""A CSV with a list of names per image, as fastai reads it: columns image, labels, perhaps negatives and is_valid.

fastai's own tables (`fname,labels,is_valid` of PASCAL 2007, `image_name,tags` of Planet) are read as they are.
"""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from promptmlr.data.codes import Codes
from promptmlr.data.columns import LABELS, NEGATIVES, Columns, columns_of, folded, shape_of
from promptmlr.data.finding import ImageFinder
from promptmlr.data.formats.base import Format, Writer
from promptmlr.data.images import ImageFile
from promptmlr.data.lists import (
    DELIMITERS,
    cell_of,
    delimiter_of_lists,
    delimiter_of_rows,
    names_in,
    refuse_odd_names,
    shown,
)
from promptmlr.data.options import DataOptions
from promptmlr.data.output import Output
from promptmlr.data.record_lists import listed_classes
from promptmlr.data.reshaped import class_after
from promptmlr.data.rows import UNLISTED, LabelledRows, ListedRows, Names, check_rows
from promptmlr.data.table import Table
from promptmlr.data.unclear import read_rows
from promptmlr.data.unclear_rows import refuse_totals
from promptmlr.errors import UserError, nearest
from promptmlr.labels import ABSENT, PRESENT
from promptmlr.names import first_names
from promptmlr.options.data import Unclear, between_commas, with_commas

__all__ = ["FORMAT", "Chosen", "Images", "list_rows", "read_list_csv_rows", "write_list_csv"]

_NO_CLASS = ("no finding", "none")


def read_list_csv_rows(path: Path, images: Path | None, options: DataOptions) -> LabelledRows:
    """Read a table with a column of images, one of lists of names (`labels` or `tags`) and one of splits.

    Names are apart by `options.delimiter`; left open, that is the one of | ; , and tab that occurs. A column
    `negatives` lists classes that are absent: then the unlisted are unknown. `is_valid` is true for the split "valid".

    Args:
        path: the file.
        images: the folder that image paths are relative to, by default that of the file.
        options: `unlisted`, `delimiter`, and which columns and names are which.

    Raises:
        UserError: the file cannot be read or lacks a column.
        Unclear: the delimiter, or what is unlisted.
    """
    return read_rows(path, options, lambda table, chosen: list_rows(table, images or path.parent, chosen))


def list_rows(table: Table, folder: Path, options: DataOptions, *, merged: bool = False) -> LabelledRows:
    """Rows of a table that lists names; where `merged` or `label_column` says so, an image may have several rows."""
    path, merged = table.path, merged or options.label_column is not None
    columns = columns_of(path, table.header, replace(options, classes=None), table.column)
    notes = [*table.notes, *columns.note()]
    listed = columns.listing(LABELS, options.label_column)
    if not listed:
        raise UserError(f"{path}: no column lists classes; --label-column says which, of {first_names(table.header)}")
    negatives = columns.without(*listed).one_of(NEGATIVES)
    columns = columns.without(*listed, negatives)
    images = Images(table, columns, folder, merged=merged)
    cells = [table.column(column) for column in (*listed, negatives) if column is not None]
    delimiter = options.delimiter
    if delimiter is None:
        texts = {cell for column in cells for cell in column}
        named = folded(table.header[listed[0]]) in LABELS or "tag" in folded(table.header[listed[0]])
        if not images.repeated:
            delimiter = delimiter_of_lists(path, texts, lists=named)
        elif not named:
            delimiter = delimiter_of_rows(path, texts)
    chosen = Chosen(path, options, columns)
    lists = [
        [chosen.of(names_in(cell, delimiter, table.where(row))) for row, cell in enumerate(column)] for column in cells
    ]
    chosen.check()
    refuse_odd_names(path, chosen.seen)
    name = table.header[listed[0]]
    if chosen.seen and chosen.seen <= {"0", "1"} and (mark := class_after(table, columns)) is not None:
        raise Unclear(
            f"{path}: column {name!r} holds 1 and 0 alone, and {table.header[columns.image]!r} an image and a class",
            {f"the class is after {mark!r}": {"class_after": mark}},
        )
    if chosen.seen and chosen.seen <= {"0", "1"} and chosen.classes is None and folded(name) in ("label", "target"):
        raise UserError(
            f"{path}: column {name!r} holds 1 and 0 alone: --format csv if they say whether one class is present, "
            "--classes 0,1 if they are names of classes"
        )
    if options.unlisted is None and negatives is None:
        raise Unclear(f"{path} lists what is present and is silent on the rest", _silence(chosen, columns))
    nothing: list[list[str]] = [[]] * len(lists[0])
    present = [[name for names in row for name in names] for row in zip(*lists[: len(listed)], strict=True)]
    absent = nothing if negatives is None else lists[-1]
    blank_is_said = Codes.of(options.codes).label("") == ABSENT
    names = [
        Names(
            [name for row in rows for name in present[row]],
            [name for row in rows for name in absent[row]],
            looked=blank_is_said or any(column[row] for column in cells for row in rows),
        )
        for rows in images.rows.values()
    ]
    if images.repeated:
        notes.append("rows of an image are put together: a class is present if any of them names it")
    if options.unlisted == "absent" and not all(one.looked for one in names):
        notes.append("a blank list says nothing; if it says that no class is there: --codes =absent")
    said = [] if delimiter is None else [f"names are apart by {shown(delimiter)}"]
    return ListedRows(
        names,
        list(images.rows),
        images.found(),
        splits=images.splits,
        kind="long CSV" if merged else "list CSV",
        path=path,
        where=images.where,
        class_names=chosen.classes or _all_classes(chosen, path),
        says_absent=negatives is not None,
        notes=[*notes, *chosen.note(), *said],
    ).labelled(options)


class Images:
    """The images of a table in which one may have several rows.

    Attributes:
        rows: image id → the rows that name it, in the order of the table.
        splits: the split of each image, or None.
        repeated: whether any has more than one row.

    Raises:
        UserError: on construction, for an image of two splits; for one of two rows unless `merged`.
    """

    def __init__(self, table: Table, columns: Columns, folder: Path, *, merged: bool) -> None:
        self._table, self._folder = table, folder
        image_ids = table.column(columns.image)
        refuse_totals(table, columns)
        if not merged:
            check_rows(table.path, image_ids, table.where, folder)
        self.rows: dict[str, list[int]] = {}
        for row, image_id in enumerate(image_ids):
            self.rows.setdefault(image_id, []).append(row)
        check_rows(table.path, list(self.rows), self.where, folder)
        self.repeated = len(self.rows) < len(image_ids)
        splits = columns.splits(table.column, table.where)
        self.splits = None if splits is None else [self._split(splits, *place) for place in self.rows.items()]

    def where(self, image: int) -> str:
        """The first row of an image."""
        return self._table.where(list(self.rows.values())[image][0])

    def found(self) -> list[ImageFile]:
        """Their files."""
        finder = ImageFinder(self._folder)
        return [finder.find(image_id, self._table.where(rows[0])) for image_id, rows in self.rows.items()]

    def _split(self, splits: Sequence[str], image_id: str, rows: Sequence[int]) -> str:
        other = next((row for row in rows if splits[row] != splits[rows[0]]), None)
        if other is not None:
            raise UserError(
                f"{self._table.where(other)}: image {image_id!r} is of split {splits[rows[0]]!r} in row "
                f"{self._table.rows[rows[0]]}; keep one of them"
            )
        return splits[rows[0]]


class Chosen:
    """Which of the names that a table lists are classes, as `--classes` and `--ignore` say.

    Attributes:
        classes: those of `--classes`, or None.
        dropped: how often other names were listed.
        seen: all names that were asked for.
    """

    def __init__(self, path: Path, options: DataOptions, columns: Columns) -> None:
        self._path, self._lenient = path, "ignore" in options.inherited
        self._ignored = {_plain(name): name for name in columns.unmatched}
        self.classes = None if options.classes is None else [_plain(name) for name in between_commas(options.classes)]
        self.seen: set[str] = set()
        self.dropped: Counter[str] = Counter()

    def of(self, names: Sequence[str]) -> list[str]:
        """Those of these names that are classes."""
        kept = []
        for name in names:
            plain = _plain(name)
            self.seen.add(plain)
            if plain in self._ignored or (self.classes is not None and plain not in self.classes):
                self.dropped[plain] += 1
            else:
                kept.append(name)
        return kept

    def check(self) -> None:
        """Refuse names to ignore that are nowhere."""
        for plain, name in self._ignored.items():
            if plain not in self.seen and not self._lenient:
                raise UserError(
                    f"{self._path}: --ignore names {name!r}, which is no column and in no list; "
                    f"{nearest(name, self.seen)}"
                )

    def note(self) -> list[str]:
        """What was left out."""
        if not self.dropped:
            return []
        return ["names left out: " + first_names([f"{name} ({n:,} times)" for name, n in self.dropped.most_common()])]


def _all_classes(chosen: Chosen, path: Path) -> list[str] | None:
    """Those that a file of JSON says there are."""
    listed = listed_classes(path)
    return None if listed is None else [name for name in listed if chosen.of([name])]


def _plain(name: str) -> str:
    return name.replace("_", " ").strip()


def _silence(chosen: Chosen, columns: Columns) -> dict[str, dict[str, str]]:
    """The readings of what is not listed; names that say that nothing is there are no classes."""
    nothing = sorted(name for name in chosen.seen - set(chosen.dropped) if name.lower() in _NO_CLASS)
    ignored = [*columns.names(columns.ignored), *columns.unmatched, *nothing]
    more = {"ignore": with_commas(ignored)} if nothing and chosen.classes is None else {}
    return {when: {**more, **unlisted} for when, unlisted in UNLISTED.items()}


def write_list_csv(output: Output) -> list[str]:
    """Write `labels`, and `negatives` where absent and unknown labels are to be told apart."""
    delimiter = next((mark for mark in DELIMITERS if not any(mark in name for name in output.class_names)), None)
    if delimiter is None:
        raise UserError("every usual delimiter is in some class name, so lists of them cannot be read; --to long-csv")
    partial = bool(output.unknown and output.absent)
    codes = (PRESENT, ABSENT) if partial else (PRESENT,)
    listed = {name for _, _, labels in output.rows() for code in codes for name in output.names(labels, code)}
    refuse_odd_names(output.destination, listed)  # which the reader would refuse
    with output.table() as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ["image", "labels", *(["negatives"] if partial else []), *(["split"] if output.has_splits else [])]
        )
        for split, name, labels in output.rows():
            lists = [cell_of(output.names(labels, code), delimiter) for code in codes]
            writer.writerow([name, *lists, *([split] if output.has_splits else [])])
    bare = not partial and output.absent and any(not (entry.labels == PRESENT).any() for entry in output.entries)
    said = f"--delimiter '{delimiter}'" + (" --codes =absent" if bare else "")
    return [f"names are apart by {shown(delimiter)}; it is read back with {said}"]


FORMAT = Format(
    "list-csv",
    "a table with a row per image and a column labels, which lists what is present",
    lambda source: shape_of(source.header, source.options) == "list",
    read_list_csv_rows,
    selects=True,
    writer=Writer(write_list_csv, ".csv", lists=True, negatives=True, class_list=False),
)
