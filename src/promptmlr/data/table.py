"""Tables as they are written, whatever the file: a header, and rows of as many texts."""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from promptmlr.data.sheets import SHEETS, cell_text, sheet_rows
from promptmlr.errors import UserError
from promptmlr.labels import Labels

__all__ = ["TABLES", "Table", "delimiter_of", "is_filled", "read_table", "table_header"]

TABLES = (".csv", ".tsv", *SHEETS, ".parquet")
"""The suffixes of files that are tables."""

_QUOTED = re.compile(r'"[^"]*+"?')
_DELIMITER = re.compile("[,;\t]")
_LONGEST = 1 << 24  # characters of a line: 100,000 columns of long names, and less than a broken file can ask for
_SEP = ["sep=", ""]  # what Excel reads in a first line, as its delimiter cuts it
_NO_CODE = -128
_CHUNK = 4096  # rows that are translated together

Rows = Iterator[tuple[int, list[str]]]


@dataclass(frozen=True, eq=False)
class Table:
    """N rows of K cells; millions of cells are few texts, so each text is kept once.

    Attributes:
        path: the file.
        header: K names, without spaces around.
        rows: the number of each row in the file, where the header is row 1 unless blank rows stand before it.
        texts: all different cells, without spaces around.
        cells: (N, K) int32, places in `texts`.
    """

    path: Path
    header: tuple[str, ...]
    rows: Sequence[int]
    texts: tuple[str, ...]
    cells: NDArray[np.int32]

    def column(self, column: int) -> list[str]:
        """The cells of one column."""
        return [self.texts[place] for place in self.cells[:, column].tolist()]

    def counts(self, column: int) -> dict[str, int]:
        """The different cells of a column, the first one first, and how often each is there."""
        places, first, counts = np.unique(self.cells[:, column], return_index=True, return_counts=True)
        return {self.texts[places[i]]: int(counts[i]) for i in np.argsort(first)}

    def where(self, row: int) -> str:
        """File and row number of the row of this index."""
        return f"{self.path}, row {self.rows[row]}"

    def decode(self, columns: Sequence[int], label: Callable[[str], int | None]) -> tuple[Labels, NDArray[np.intp]]:
        """Translate cells to codes.

        Args:
            columns: C of them.
            label: text → code, or None for what is no code.

        Returns:
            (N, C) int8, and the places (M, 2) of cells that are no code.
        """
        found = (label(text) for text in self.texts)
        codes = np.array([_NO_CODE if code is None else code for code in found], dtype=np.int8)
        chosen = np.asarray(columns, dtype=np.intp)
        labels = np.empty((len(self.rows), len(chosen)), dtype=np.int8)
        for start in range(0, len(labels), _CHUNK):
            part = slice(start, start + _CHUNK)
            labels[part] = codes[self.cells[part, chosen]]
        return labels, np.argwhere(labels == _NO_CODE)


class _Numbers(dict[str, int]):
    """A number for every text; a cell is cleaned when it is first met, so that millions cost one look-up each."""

    def __missing__(self, cell: str) -> int:
        clean = cell.strip()
        number = self[cell] = len(self.texts) if clean == cell else self[clean]
        if clean == cell:
            self.texts.append(cell)
        return number

    def __init__(self) -> None:
        self.texts: list[str] = []


def read_table(path: Path, sheet: str | None = None) -> Table:
    """Read a CSV or TSV (UTF-8, or UTF-16 with its mark; see `delimiter_of`), a sheet of XLSX, or Parquet.

    Rows that are blank are skipped, but counted in row numbers.

    Raises:
        UserError: the file is missing, empty or binary, or a row has too few or too many cells.
    """
    if path.suffix.lower() == ".parquet":
        return _parquet_table(path)
    rows = ((number, row) for number, row in _rows(path, sheet) if is_filled(row))
    numbered: list[int] = []
    _, header = next(rows, (0, []))
    if not any(map(str.strip, header)):
        raise UserError(f"{path}: the file is empty; it needs a column image and one column per class")

    def checked() -> Iterator[list[str]]:
        for number, row in rows:
            if len(row) != len(header):
                raise UserError(f"{path}, row {number}: {len(row)} cells where the header has {len(header)}")
            numbered.append(number)
            yield row

    numbers = _Numbers()
    cells = np.fromiter(map(numbers.__getitem__, chain.from_iterable(checked())), dtype=np.int32)
    names = tuple(name.strip() for name in header)
    return Table(path, names, numbered, tuple(numbers.texts), cells.reshape(len(numbered), len(header)))


def table_header(path: Path, sheet: str | None = None) -> list[str]:
    """The names of a table's columns; none where it cannot be read, which whoever reads all of it will say.

    None either of Parquet with lists, images or names of classes in it, which is more than a table.
    """
    try:
        if path.suffix.lower() == ".parquet":
            schema = pq.read_schema(path)
            more = b"huggingface" in (schema.metadata or {}) or any(map(pa.types.is_nested, schema.types))
            return [] if more else list(schema.names)
        return next(([name.strip() for name in row] for _, row in _rows(path, sheet) if is_filled(row)), [])
    except (OSError, UserError, pa.ArrowException):
        return []


def is_filled(row: Sequence[str]) -> bool:
    """Whether there is anything in a row."""
    return any(row) and row != _SEP


def delimiter_of(header: str) -> str:
    """What separates columns: comma, semicolon (Excel, where commas are for decimals) or tab, whichever comes first."""
    found = _DELIMITER.search(_QUOTED.sub("", header))
    return "," if found is None else found[0]


def _rows(path: Path, sheet: str | None) -> Rows:
    if path.suffix.lower() in SHEETS:
        return enumerate(sheet_rows(path, sheet), start=1)
    return _text_rows(path)


def _text_rows(path: Path) -> Rows:
    number = 0
    try:
        with path.open("rb") as binary:
            start = binary.read(4)
        wide = start[:2] in (b"\xff\xfe", b"\xfe\xff")  # what Excel saves as Unicode text
        with path.open(encoding="utf-16" if wide else "utf-8-sig", newline="") as file:
            lines = _lines(path, iter(lambda: file.readline(_LONGEST), ""))
            before = []
            for line in lines:
                before.append(line)
                if line.strip():
                    break
            delimiter = "\t" if path.suffix.lower() == ".tsv" else delimiter_of(before[-1] if before else "")
            for number, row in enumerate(csv.reader(chain(before, lines), strict=True, delimiter=delimiter), start=1):
                yield number, row
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeError as error:
        raise UserError(
            f"{path}: not a UTF-8 text file; save it as CSV UTF-8. If it is from Windows in Western Europe: "
            f"iconv -f WINDOWS-1252 -t UTF-8 '{path}' > '{path.stem}-utf8{path.suffix}'"
        ) from error
    except csv.Error as error:
        raise UserError(f"{path}, row {number + 1}: not a CSV row ({error}); check its quotes") from error


def _lines(path: Path, lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if "\0" in line:
            raise UserError(f"{path}: a binary file, not a CSV table")
        if len(line) == _LONGEST:
            raise UserError(f"{path}: a line of more than {_LONGEST:,} characters; no table has rows so long")
        yield line


def _parquet_table(path: Path) -> Table:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path}: not a Parquet file, or damaged ({' '.join(str(error).split())[:200]})") from error
    numbers = _Numbers()
    cells = np.empty((table.num_rows, table.num_columns), dtype=np.int32)
    for place, column in enumerate(table.itercolumns()):
        if pa.types.is_nested(column.type):
            cells[:, place] = [numbers[cell_text(value)] for value in column.to_pylist()]
            continue
        encoded = column.combine_chunks()
        encoded = encoded if pa.types.is_dictionary(encoded.type) else encoded.dictionary_encode()
        texts = [numbers[cell_text(value)] for value in [*encoded.dictionary.to_pylist(), None]]
        cells[:, place] = np.array(texts)[encoded.indices.fill_null(len(texts) - 1).to_numpy()]
    names = tuple(str(name).strip() for name in table.column_names)
    return Table(path, names, range(1, table.num_rows + 1), tuple(numbers.texts), cells)
