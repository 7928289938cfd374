"""Tables as they are written, whatever the file: a header, and rows of as many texts."""

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from promptmlr.data.columns import is_image_name
from promptmlr.data.heading import LOOKED_AT, heading, is_filled, listing_to_end, names_images
from promptmlr.data.records import is_records, record_rows
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
        options: `sheet`, `encoding`, `header`, `transposed` and `without_totals`.

    Raises:
        UserError: the file is missing, empty or binary, or rows have too few or too many cells.
        Unclear: other options would read it.
    """
    if path.suffix.lower() == ".parquet":
        if options.transposed:
            raise UserError(f"{path}: --transposed is for text and sheets; write the table with a row per image")
        return _parquet_table(path)
    header, rows, notes = _opened(path, options)
    open_end = listing_to_end(header, options)
    numbered: list[int] = []
    ragged: list[str] = []

    def checked() -> Iterator[list[str]]:
        for number, row in rows:
            if not is_filled(row):
                continue
            if open_end:
                row = _to_end(row, len(header))
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
        raise UserError(
            f"{path}, {told}; separate cells as in the header, and put those with delimiters in double quotes"
        )
    cells = cells.reshape(len(numbered), len(header))
    if options.transposed:
        notes.append("rows are classes and columns are images; messages count columns of the file as rows")
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


def _opened(path: Path, options: DataOptions) -> tuple[list[str], Rows, list[str]]:
    """The names of the columns, the rows below, and what to know about them."""
    rows = _rows(path, options)
    if is_records(path):  # whose names are keys
        return next(rows)[1], rows, []
    rows = _transposed(path, rows) if options.transposed else rows
    begin = list(islice(rows, LOOKED_AT))
    header, above, start = heading(path, [row for _, row in begin], options)
    skipped = [str(number) for number, row in begin[:above] if is_filled(row)]
    named = [str(number) for number, row in begin[above:start] if is_filled(row)]
    notes = [f"above the header, not read: row {first_names(skipped)}"] if skipped else []
    if len(named) > 1:
        notes.append(f"names of columns are in rows {first_names(named)}")
    return header, chain(begin[start:], rows), notes


def _transposed(path: Path, rows: Rows) -> Rows:
    """Columns for rows; the first cell, which says what is in the first column, becomes the name of that of images."""
    filled = [(number, row) for number, row in rows if any(map(str.strip, row))]
    odd = next((number for number, row in filled if len(row) != len(filled[0][1])), None)
    if odd is not None:
        raise UserError(f"{path}, row {odd}: other cells than in row {filled[0][0]}; fill or remove some")
    columns = [list(column) for column in zip(*(row for _, row in filled), strict=True)]
    return enumerate([["image", *column[1:]] if place == 0 else column for place, column in enumerate(columns)], 1)


def _to_end(row: list[str], columns: int) -> list[str]:
    """A row whose last column takes all cells from there on, as a list of JSON."""
    names = [cell for cell in map(str.strip, row[columns - 1 :]) if cell]
    if len(row) == columns:
        return row
    return [*row[: columns - 1], json.dumps(names, ensure_ascii=False) if names else ""]


def _rows(path: Path, options: DataOptions) -> Rows:
    if path.suffix.lower() in SHEETS:
        return enumerate(sheet_rows(path, options), start=1)
    if is_records(path):
        return enumerate(record_rows(path), start=0)
    return _text_rows(path, options.encoding)


def _text_rows(path: Path, encoding: str | None) -> Rows:
    number = 0
    try:
        with path.open(encoding=encoding or _encoding(path), newline="") as file:
            lines = _lines(path, iter(lambda: file.readline(_LONGEST), ""))
            before = list(islice(lines, LOOKED_AT))
            filled = [line for line in before if line.strip() and not line.lower().startswith("sep=")]
            if path.suffix.lower() == ".txt" and _is_apart_by_spaces(filled):
                yield from enumerate((line.lstrip("# ").split() for line in chain(before, lines)), start=1)
                return
            delimiter = "\t" if path.suffix.lower() == ".tsv" else delimiter_of(filled)
            for number, row in enumerate(csv.reader(chain(before, lines), strict=True, delimiter=delimiter), start=1):
                yield number, row
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeError as error:
        if encoding is None and _encoding(path) == "utf-16":
            raise UserError(f"{path}: damaged text in UTF-16; save it again, as CSV UTF-8") from error
        if encoding is not None or _is_binary(path):
            raise UserError(f"{path}: not a text in {encoding or 'UTF-8'}; save it as CSV UTF-8") from error
        if mixed := _mixed(path):
            raise UserError(f"{path}: {mixed}; save all of it as UTF-8") from error
        raise Unclear(
            f"{path}: not a UTF-8 text file; save it as CSV UTF-8 (iconv -f WINDOWS-1252 -t UTF-8 '{path}' > "
            f"'{path.stem}-utf8{path.suffix}'), or if it is from Windows in Western Europe",
            {"it is from Windows in Western Europe": {"encoding": _WESTERN}},
        ) from error
    except LookupError as error:
        raise UserError(f"--encoding {encoding}: unknown; try {_WESTERN}, utf-16-le or latin-1") from error
    except csv.Error as error:
        raise UserError(f"{path}, row {number + 1}: not a CSV row ({error}); check its quotes") from error


def _is_apart_by_spaces(lines: Sequence[str]) -> bool:
    """Whether nothing else separates columns, or what does comes after the name of an image and a space."""
    return not any(map(_DELIMITER.search, lines[-1:])) or all(is_image_name(line.split()[0]) for line in lines)


def _mixed(path: Path) -> str | None:
    """Which lines are in UTF-8 and which are not, where a text has both, as two programs may have written it."""
    first: dict[str, int] = {}  # lines that are more than ASCII
    with path.open("rb") as binary:
        for number, line in enumerate(binary, start=1):
            if not line.isascii():
                try:
                    line.decode()
                    first.setdefault("UTF-8", number)
                except UnicodeDecodeError:
                    first.setdefault("another encoding", number)
    return " and ".join(f"row {n} is in {name}" for name, n in first.items()) if len(first) > 1 else None


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
