"""The layout that data and mask CSV files share: column `image`, optional `split`, one column per class."""

import csv
import io
import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from promptmlr.errors import UserError, nearest
from promptmlr.labels import Labels
from promptmlr.names import checked_class_names

__all__ = ["LabelTable", "Records", "delimiter_of", "read_records", "read_table", "table_header"]

_QUOTED = re.compile(r'"[^"]*+"?')
_DELIMITER = re.compile("[,;\t]")


@dataclass(frozen=True)
class LabelTable:
    """A label table as written: N rows of C cells.

    Attributes:
        path: the file.
        rows: the row number of each image in the file, where the header is row 1.
        image_ids: the column `image`.
        splits: the column `split`, if there is one.
        class_names: C names, with spaces for underscores.
        cells: N rows of C texts.
    """

    path: Path
    rows: tuple[int, ...]
    image_ids: tuple[str, ...]
    splits: tuple[str, ...] | None
    class_names: tuple[str, ...]
    cells: tuple[list[str], ...]

    def decode(self, codes: Mapping[str, int], hint: Callable[[str], str]) -> Labels:
        """Translate every cell to a code.

        Args:
            codes: lower-case text → code.
            hint: cell → what to write instead, for the message.

        Returns:
            (N, C) int8.

        Raises:
            UserError: a cell is not among `codes`; names its row and column.
        """
        lookup = _Lookup(codes)
        labels = np.empty((len(self.cells), len(self.class_names)), dtype=np.int8)
        for i, row in enumerate(self.cells):
            try:
                labels[i] = [lookup[cell] for cell in row]
            except KeyError as error:
                column = next(c for c, cell in enumerate(row) if cell == error.args[0])
                raise UserError(
                    f"{self.path}, row {self.rows[i]}, column {self.class_names[column]!r}: "
                    f"cannot read {row[column]!r}; {hint(row[column].strip())}"
                ) from None
        return labels


class _Lookup(dict[str, int]):
    """Codes by cell; a cell is cleaned the first time it is met, so millions of them cost one look-up each."""

    def __missing__(self, cell: str) -> int:
        clean = cell.strip().lower()
        if clean not in self:
            raise KeyError(cell)
        self[cell] = self[clean]
        return self[cell]


def read_table(path: Path, folder: Path | None = None) -> LabelTable:
    """Read a label table (UTF-8, see `delimiter_of`); blank rows are skipped, but counted in row numbers.

    Args:
        path: the file.
        folder: what image paths are relative to, by default the folder of the file.

    Raises:
        UserError: the file is missing, empty or binary; a row has too few or too many cells; there is no column
            `image` or no class; a class name is empty or comes twice; an image is not named or comes twice.
    """
    (_, header), *body = _records(path) or [(1, [])]
    header = [name.strip() for name in header]
    class_columns = _class_columns(path, header)
    for row, record in body:
        if len(record) != len(header):
            raise UserError(f"{path}, row {row}: {len(record)} cells where the header has {len(header)}")
    rows = tuple(row for row, _ in body)
    image_ids = _column(body, header, "image")
    _check_image_ids(path, rows, image_ids, str((folder or path.parent).absolute()))
    return LabelTable(
        path,
        rows,
        image_ids,
        _column(body, header, "split") if "split" in header else None,
        checked_class_names([header[c] for c in class_columns], str(path)),
        tuple([record[c] for c in class_columns] for _, record in body),
    )


@dataclass(frozen=True)
class Records:
    """The rows of a CSV that hold anything.

    Attributes:
        path: the file.
        header: names of the columns, stripped.
        rows: the row number of each, where the header is row 1.
        cells: as many per row as the header has names.
    """

    path: Path
    header: list[str]
    rows: tuple[int, ...]
    cells: tuple[list[str], ...]

    def column(self, name: str) -> list[str]:
        """One column, stripped."""
        column = self.header.index(name)
        return [cells[column].strip() for cells in self.cells]

    def where(self, row: int) -> str:
        """File and row number of the row of this index."""
        return f"{self.path}, row {self.rows[row]}"


def read_records(path: Path) -> Records:
    """Read a CSV with a header (UTF-8, see `delimiter_of`).

    Raises:
        UserError: the file is missing, empty or binary; a row has too few or too many cells; a column comes twice.
    """
    (_, header), *body = _records(path) or [(1, [])]
    header = [name.strip() for name in header]
    for row, record in body:
        if len(record) != len(header):
            raise UserError(f"{path}, row {row}: {len(record)} cells where the header has {len(header)}")
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{path}: {header.count(twice)} columns are named {twice!r}; keep one")
    return Records(path, header, tuple(row for row, _ in body), tuple(record for _, record in body))


def table_header(path: Path) -> list[str]:
    """The names of a CSV's columns; none where it cannot be read, which whoever reads all of it will say."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            delimiter = delimiter_of(file.readline())
            file.seek(0)
            return [name.strip() for name in next(csv.reader(file, strict=True, delimiter=delimiter), [])]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def delimiter_of(header: str) -> str:
    """What separates columns: comma, semicolon (Excel, where commas are for decimals) or tab, whichever comes first."""
    found = _DELIMITER.search(_QUOTED.sub("", header))
    return "," if found is None else found[0]


def _records(path: Path) -> list[tuple[int, list[str]]]:
    """The rows that hold anything, with their numbers."""
    text = _text(path)
    header = text.lstrip("\r\n").partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter_of(header))
    records = []
    number = 0
    try:
        for number, record in enumerate(reader, start=1):
            if any(record):
                records.append((number, record))
    except csv.Error as error:
        raise UserError(f"{path}, row {number + 1}: not a CSV row ({error}); check its quotes") from error
    return records


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if not content.strip():
        raise UserError(f"{path}: the file is empty; it needs a column image and one column per class")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a UTF-8 text file (byte {error.start}); save it as CSV UTF-8") from error
    if "\0" in text:
        raise UserError(f"{path}: a binary file, not a CSV table")
    return text


def _class_columns(path: Path, header: list[str]) -> list[int]:
    if "image" not in header:
        raise UserError(f"{path}: no column 'image' (in small letters) in the header; {nearest('image', header)}")
    for name in ("image", "split"):
        if header.count(name) > 1:
            raise UserError(f"{path}: {header.count(name)} columns are named {name!r}; keep one")
    return [c for c, name in enumerate(header) if name not in ("image", "split")]


def _column(body: list[tuple[int, list[str]]], header: list[str], name: str) -> tuple[str, ...]:
    column = header.index(name)
    return tuple(record[column].strip() for _, record in body)


def _check_image_ids(path: Path, rows: tuple[int, ...], image_ids: tuple[str, ...], folder: str) -> None:
    if not rows:
        raise UserError(f"{path}: a header without rows; add one row per image")
    seen: dict[str, int] = {}
    for row, image_id in zip(rows, image_ids, strict=True):
        if not image_id:
            raise UserError(f"{path}, row {row}: no image name")
        first = seen.setdefault(posixpath.normpath(posixpath.join(folder, image_id)), row)
        if first != row:
            raise UserError(f"{path}, row {row}: image {image_id!r} is in row {first} already; keep one of them")
