"""One cell of a label CSV changed, and everything else byte for byte as it was.

A file that people keep open in other programs has its own quoting, order, extra columns, line ends and byte order mark.
Writing it anew from parsed rows would change those, so a file is kept as the records it is made of, and of one record
one field is replaced. Wherever this reading differs from that of the csv module, the file is refused.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from promptmlr.data.codes import Codes
from promptmlr.data.columns import columns_of
from promptmlr.data.heading import LOOKED_AT, heading, is_filled
from promptmlr.data.options import DataOptions
from promptmlr.data.table import delimiter_of
from promptmlr.errors import UserError
from promptmlr.names import checked_class_names

__all__ = ["LabelCells"]

_RECORD = re.compile(rb'(?:[^"\r\n]++|"[^"]*+")*+(?:\r\n|\r|\n|\Z)')
_FIELDS = {mark: re.compile(rb'"(?:[^"]|"")*+"|[^%s\r\n]*+' % mark.encode()) for mark in (",", ";", "\t", "|")}
_END = re.compile(rb"[\r\n]*\Z")
_WIDE = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}  # what Excel saves as Unicode text
_DEFAULTS = DataOptions()


@dataclass(frozen=True)
class LabelCells:
    """A label CSV (a row per image, a column per class) as it lies on the disk.

    Attributes:
        path: the file, for messages.
        records: its text as UTF-8, cut after each record; a byte order mark stands before the first.
        delimiter: what separates its columns.
        columns: class name, with spaces for underscores → its column.
        places: image id → its record.
        codes: what cells say.
        texts: the different cells of classes, the first one first.
        encoding: of the file.
    """

    path: Path
    records: tuple[bytes, ...]
    delimiter: str
    columns: dict[str, int]
    places: dict[str, int]
    codes: Codes
    texts: tuple[str, ...]
    encoding: str = "utf-8"

    @classmethod
    def parse(cls, path: Path, content: bytes, options: DataOptions = _DEFAULTS) -> Self:
        """Cut the content of a file into records.

        Args:
            path: the file, for messages.
            content: its bytes.
            options: which columns are classes, and what cells say.

        Raises:
            UserError: it is no CSV of labels; an image or a class comes twice; its quotes are read in two ways.
        """
        encoding = _WIDE.get(content[:2]) or options.encoding or "utf-8"
        if encoding != "utf-8":
            content = _as_utf8(path, content, encoding)
        records = tuple(record for record in _RECORD.findall(content) if record)
        lines = [record.decode(errors="replace") for record in records[:LOOKED_AT] if record.strip()]
        delimiter = delimiter_of([line for line in lines if not line.lower().startswith("sep=")])
        rows = _rows(path, records, delimiter)
        if b"".join(records) != content or not any(map(is_filled, rows)):
            raise UserError(f"{path}: not a CSV file of labels, or its quotes are damaged; save it again as CSV UTF-8")
        header, _, start = heading(path, rows[:LOOKED_AT], options)
        body = [(place, row) for place, row in enumerate(rows[start:], start=start) if any(row)]
        body = body[:-1] if options.without_totals else body
        for place, row in body:
            if len(row) < len(header) or any(row[len(header) :]):
                raise UserError(f"{path}, row {place + 1}: {len(row)} cells where the header has {len(header)}")
        found = columns_of(path, header, options, lambda column: [row[column].strip() for _, row in body])
        names = checked_class_names(found.names(found.rest), str(path))
        places: dict[str, int] = {}
        texts: dict[str, None] = {}
        for place, row in body:
            first = places.setdefault(row[found.image].strip(), place)
            if first != place:
                raise UserError(f"{path}, row {place + 1}: image {row[found.image]!r} is in row {first + 1} already")
            texts.update(dict.fromkeys(row[column] for column in found.rest))
        columns = dict(zip(names, found.rest, strict=True))
        return cls(path, records, delimiter, columns, places, Codes.of(options.codes), tuple(texts), encoding)

    @property
    def content(self) -> bytes:
        """The file."""
        content = b"".join(self.records)
        return content if self.encoding == "utf-8" else content.decode().encode(self.encoding)

    def row(self, image_id: str) -> int:
        """The number of its row, where the header is 1; rows are counted as the csv module does.

        Raises:
            UserError: there is no such image.
        """
        return self._place(image_id) + 1

    def cell(self, image_id: str, class_name: str) -> str:
        """A cell's text.

        Raises:
            UserError: there is no such image, or no such class.
        """
        return self._row(image_id)[self._column(class_name)]

    def code(self, image_id: str, class_name: str) -> int | None:
        """What a cell says: 1 present, 0 absent, -1 unknown; None for anything else."""
        return self.codes.label(self.cell(image_id, class_name))

    def raw(self, image_id: str, class_name: str) -> bytes:
        """A cell as it is written, with its quotes."""
        return _fields(self.records[self._place(image_id)], self.delimiter)[self._column(class_name)]

    def with_raw(self, image_id: str, class_name: str, raw: bytes) -> Self:
        """The same file with these bytes, quotes included, in one cell."""
        place, column = self._place(image_id), self._column(class_name)
        fields = _fields(self.records[place], self.delimiter)
        end = _line_end(self.records[place])
        record = self.delimiter.encode().join([*fields[:column], raw, *fields[column + 1 :]]) + end
        return replace(self, records=(*self.records[:place], record, *self.records[place + 1 :]))

    def written(self, label: int) -> str:
        """How this file writes 1 present or 0 absent: as its other cells do, or as its codes say.

        Raises:
            UserError: no code says it.
        """
        return self.codes.spelled(label, self.texts)

    def with_label(self, image_id: str, class_name: str, label: int) -> Self:
        """The same file with 1 present or 0 absent in one cell, as it writes them.

        Raises:
            UserError: as `written`, `with_cell`.
        """
        return self.with_cell(image_id, class_name, self.written(label))

    def with_labels(self, labels: Mapping[str, Mapping[str, int]]) -> Self:
        """The same file with many labels: image id → class name → 1 present, 0 absent, -1 unknown.

        Raises:
            UserError: as `with_label`; no cell and no code says unknown.
        """
        changed = {}
        for image_id, row in labels.items():
            one = replace(self, records=(self.records[self._place(image_id)],), places={image_id: 0})
            for name, label in row.items():
                one = one.with_label(image_id, name, label)
            changed[self._place(image_id)] = one.records[0]
        records = tuple(changed.get(place, record) for place, record in enumerate(self.records))
        return replace(self, records=records)

    def with_cell(self, image_id: str, class_name: str, text: str) -> Self:
        """The same file with another text in one cell, which keeps its quotes if it has any.

        Raises:
            UserError: there is no such image, or no such class.
        """
        quoted = self.raw(image_id, class_name).startswith(b'"') or re.search(f'["\r\n{self.delimiter}]', text)
        raw = text.replace('"', '""').encode()
        return self.with_raw(image_id, class_name, b'"' + raw + b'"' if quoted else raw)

    def _place(self, image_id: str) -> int:
        try:
            return self.places[image_id]
        except KeyError:
            raise UserError(f"{self.path}: no row of image {image_id!r}") from None

    def _column(self, class_name: str) -> int:
        try:
            return self.columns[class_name]
        except KeyError:
            raise UserError(f"{self.path}: no column of class {class_name!r}") from None

    def _row(self, image_id: str) -> list[str]:
        text = self.records[self._place(image_id)].decode()
        (row,) = csv.reader([text], strict=True, delimiter=self.delimiter)
        return row


def _as_utf8(path: Path, content: bytes, encoding: str) -> bytes:
    try:
        return content.decode(encoding).encode()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not {encoding.upper()} text ({error.reason}); save it as CSV UTF-8") from error


def _rows(path: Path, records: Sequence[bytes], delimiter: str) -> list[list[str]]:
    """The fields of every record as the csv module reads them; it must find the same records."""
    rows = []
    try:
        texts = [record.decode() for record in records]
        if texts:
            texts[0] = texts[0].removeprefix("\ufeff")
        reader = csv.reader(texts, strict=True, delimiter=delimiter)
        for number, row in enumerate(reader, start=1):
            if reader.line_num != number:
                raise UserError(f"{path}, row {number}: not a CSV row (a quote is not closed); check its quotes")
            rows.append(row)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a UTF-8 text file; save it as CSV UTF-8") from error
    except csv.Error as error:
        raise UserError(f"{path}, row {len(rows) + 1}: not a CSV row ({error}); check its quotes") from error
    return rows


def _fields(record: bytes, delimiter: str) -> list[bytes]:
    """The fields of a record as they are written, without its line end."""
    body = record[: len(record) - len(_line_end(record))]
    fields, position = [], 0
    while True:
        match = _FIELDS[delimiter].match(body, position)
        assert match is not None  # it matches nothing, too
        fields.append(match[0])
        position = match.end()
        if position == len(body):
            return fields
        if body[position : position + 1] != delimiter.encode():
            raise UserError(f"the quotes of {body[:80]!r} are damaged; save the file again as CSV UTF-8")
        position += 1


def _line_end(record: bytes) -> bytes:
    match = _END.search(record)
    assert match is not None
    return match[0]
