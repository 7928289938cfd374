"""Tables as they are written, whatever the file: a header, and rows of as many texts."""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from promptmlr.data.heading import LOOKED_AT, heading, is_filled, names_images
from promptmlr.data.records import RECORDS, record_rows
from promptmlr.data.sheets import SHEETS, cell_text, sheet_rows
from promptmlr.errors import SHOWN, UserError, first_names
from promptmlr.labels import Labels
from promptmlr.options.data import DataOptions, Unclear

__all__ = ["TABLES", "Table", "delimiter_of", "read_table", "table_header"]

TABLES = (".csv", ".tsv", ".txt", *SHEETS, ".parquet")
"""The suffixes of files that are tables."""

_QUOTED = re.compile(r'"[^"]*+"?')
_DELIMITER = re.compile("[,;\t]")
_RARE = "|"  # a delimiter only where no usual one is
_LONGEST = 1 << 24  # characters of a line: 100,000 columns of long names, and less than a broken file can ask for
_NO_CODE = -128
_CHUNK = 4096  # rows that are translated together

_WESTERN = "windows-1252"
_DEFAULTS = DataOptions()

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
        notes: what was not read.
    """

    path: Path
    header: tuple[str, ...]
    rows: Sequence[int]
    texts: tuple[str, ...]
    cells: NDArray[np.int32]
    notes: tuple[str, ...] = ()

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


def read_table(path: Path, options: DataOptions = _DEFAULTS) -> Table:
    """Read a CSV or TSV (see `delimiter_of`), a sheet of a workbook, Parquet, or a list of JSON objects.

    Columns of a `.txt` may be apart by spaces. Text is UTF-8, UTF-16 with its mark, or in `options.encoding`. Rows that
    are blank are skipped, but counted in row numbers; so are titles and comments above the names of the columns
    (`heading`).

    Args:
        path: the file.
        options: `sheet`, `encoding`, `header` and `without_totals`.

    Raises:
        UserError: the file is missing, empty or binary, or rows have too few or too many cells.
        Unclear: other options would read it.
    """
    if path.suffix.lower() == ".parquet":
        return _parquet_table(path)
    header, rows, above = _opened(path, options)
    numbered: list[int] = []
    ragged: list[str] = []

    def checked() -> Iterator[list[str]]:
        for number, row in rows:
            if not is_filled(row):
                continue
            if len(row) < len(header) or any(row[len(header) :]):
                ragged.append(f"row {number}: {len(row)} cells where the header has {len(header)}")
                if len(ragged) > SHOWN:
                    break
                continue
            numbered.append(number)
            yield row[: len(header)]

    numbers = _Numbers()
    cells = np.fromiter(map(numbers.__getitem__, chain.from_iterable(checked())), dtype=np.int32)
    if ragged:
        told = "; ".join(ragged[:SHOWN]) + (" and more" if len(ragged) > SHOWN else "")
        raise UserError(f"{path}, {told}; put cells with delimiters in them in double quotes")
    cells = cells.reshape(len(numbered), len(header))
    notes = [f"above the header, not read: row {first_names([str(number) for number in above])}"] if above else []
    if options.without_totals:
        notes.append(f"totals, not read: row {numbered[-1]}" if numbered else "no row of totals")
        numbered, cells = numbered[:-1], cells[:-1]
    return Table(path, tuple(header), numbered, tuple(numbers.texts), cells, tuple(notes))


def table_header(path: Path, options: DataOptions = _DEFAULTS) -> list[str]:
    """The names of a table's columns; none where it cannot be read, which whoever reads all of it will say.

    None either of Parquet with lists, images or names of classes in it, which is more than a table.
    """
    try:
        if path.suffix.lower() == ".parquet":
            schema = pq.read_schema(path)
            more = b"huggingface" in (schema.metadata or {}) or any(map(pa.types.is_nested, schema.types))
            return [] if more else list(schema.names)
        return _opened(path, options)[0]
    except (OSError, UserError, pa.ArrowException):
        return []


def delimiter_of(lines: Sequence[str]) -> str:
    """What separates columns: comma, semicolon (Excel, where commas are for decimals) or tab, or | where none of them.

    Of the names of columns that is the one which comes first. A title above them may hold another one.

    Args:
        lines: the first ones.
    """
    bare = [_QUOTED.sub("", line) for line in lines]
    found = [(mark, line) for line in bare if (mark := _mark(line)) and not line.startswith("#")]
    named = next((mark for line in bare if (mark := _mark(line)) and names_images(line.split(mark))), None)
    if named is not None or not found:
        return named or ","
    (first, line), (second, after) = found[0], found[1 if len(found) > 1 else 0]
    return second if first not in after and second not in line else first  # below a title with another one


def _mark(line: str) -> str | None:
    match = _DELIMITER.search(line)
    return match[0] if match else _RARE if _RARE in line else None


def _opened(path: Path, options: DataOptions) -> tuple[list[str], Rows, list[int]]:
    """The names of the columns, the rows below, and the numbers of rows that are above them."""
    rows = _rows(path, options)
    begin = list(islice(rows, LOOKED_AT))
    header, above, start = heading(path, [row for _, row in begin], options)
    return header, chain(begin[start:], rows), [number for number, row in begin[:above] if is_filled(row)]


def _rows(path: Path, options: DataOptions) -> Rows:
    if path.suffix.lower() in SHEETS:
        return enumerate(sheet_rows(path, options.sheet), start=1)
    if path.suffix.lower() in RECORDS:
        return enumerate(record_rows(path), start=0)
    return _text_rows(path, options.encoding)


def _text_rows(path: Path, encoding: str | None) -> Rows:
    number = 0
    try:
        with path.open(encoding=encoding or _encoding(path), newline="") as file:
            lines = _lines(path, iter(lambda: file.readline(_LONGEST), ""))
            before = list(islice(lines, LOOKED_AT))
            filled = [line for line in before if line.strip() and not line.lower().startswith("sep=")]
            if path.suffix.lower() == ".txt" and not any(map(_DELIMITER.search, filled[-1:])):
                yield from enumerate((line.lstrip("# ").split() for line in chain(before, lines)), start=1)
                return
            delimiter = "\t" if path.suffix.lower() == ".tsv" else delimiter_of(filled)
            for number, row in enumerate(csv.reader(chain(before, lines), strict=True, delimiter=delimiter), start=1):
                yield number, row
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeError as error:
        if encoding is not None or _is_binary(path):
            raise UserError(f"{path}: not a text in {encoding or 'UTF-8'}; save it as CSV UTF-8") from error
        raise Unclear(
            f"{path}: not a UTF-8 text file; save it as CSV UTF-8 (iconv -f WINDOWS-1252 -t UTF-8 '{path}' > "
            f"'{path.stem}-utf8{path.suffix}'), or if it is from Windows in Western Europe",
            {"it is from Windows in Western Europe": {"encoding": _WESTERN}},
        ) from error
    except LookupError as error:
        raise UserError(f"--encoding {encoding}: unknown; try {_WESTERN}, utf-16-le or latin-1") from error
    except csv.Error as error:
        raise UserError(f"{path}, row {number + 1}: not a CSV row ({error}); check its quotes") from error


def _is_binary(path: Path) -> bool:
    with path.open("rb") as binary:
        return any(byte < 32 and byte not in b"\t\r\n" for byte in binary.read(4096))


def _encoding(path: Path) -> str:
    """UTF-8, or the UTF-16 in which Excel saves Unicode text.

    Raises:
        Unclear: it is UTF-16 without the mark that says so.
    """
    with path.open("rb") as binary:
        start = binary.read(64)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    for name, zeros, others in (("utf-16-le", start[1::2], start[::2]), ("utf-16-be", start[::2], start[1::2])):
        if len(zeros) > 3 and not any(zeros) and all(others):
            raise Unclear(f"{path}: text in UTF-16 without the mark that says so", {"it is text": {"encoding": name}})
    return "utf-8-sig"


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
