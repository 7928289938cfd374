"""Files of captions, read in batches: Parquet, CSV, TSV, JSON lines and COCO's captions.

Text files may end in `.gz`. Batches have a bounded size, except for COCO's JSON, which is a single object (COCO's
largest file has 92 MB).
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from glob import glob
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.json as pajson
import pyarrow.parquet as pq

from promptmlr.errors import UserError, nearest

__all__ = ["choose_column", "find_files", "read_captions"]

KNOWN_COLUMNS = ("caption", "captions", "text", "alt_text", "sentence")

_ROWS = 1 << 16  # of a batch of Parquet
_BYTES = 1 << 22  # of a block of text: no row may be longer


class _Format(NamedTuple):
    columns: Callable[[Path], list[str]]  # names of the columns that can hold text
    batches: Callable[[Path, str], Iterator[pa.Array]]


def find_files(patterns: Sequence[str]) -> list[Path]:
    """The files that paths and globs (`*`, `?`, `**`) name, each once, in the order given.

    Raises:
        UserError: a pattern matches no file, or a file is a folder or of an unknown kind.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        names = [pattern] if Path(pattern).exists() else sorted(glob(pattern, recursive=True))  # noqa: PTH207 (Path.glob takes no absolute pattern)
        if not names:
            raise UserError(f"no file {pattern}")
        found.update(dict.fromkeys(map(Path, names)))
    for path in found:
        if path.is_dir():
            raise UserError(f"{path} is a folder; name its files, such as {path}/*.parquet")
        _format(path)
    return list(found)


def choose_column(path: Path, wanted: str | None) -> str:
    """The column that holds the captions.

    Args:
        path: the file.
        wanted: its name; by default the one of `KNOWN_COLUMNS`, in any case, that the file has, or its only column.

    Raises:
        UserError: the file cannot be read, has no such column, or has several candidates.
    """
    with _errors_of(path):
        if not path.stat().st_size:
            raise UserError(f"{path} is empty")
        columns = _format(path).columns(path)
    if wanted is not None:
        if wanted not in columns:
            raise UserError(f"{path} has no text column {wanted!r}; {nearest(wanted, columns)}")
        return wanted
    if not columns:
        raise UserError(f"{path} has no column that holds text")
    known = [name for name in columns if name.lower() in KNOWN_COLUMNS] or columns
    if len(known) > 1:
        raise UserError(f"{path}: which column holds the captions? Name one with --column: {_listed(columns)}")
    return known[0]


def read_captions(path: Path, column: str) -> Iterator[pa.Array]:
    """The captions of a file as arrays of strings, null where a row has none.

    Raises:
        UserError: a row or the file is broken.
    """
    with _errors_of(path):
        for batch in _format(path).batches(path, column):
            texts = batch.flatten() if pa.types.is_list(batch.type) or pa.types.is_large_list(batch.type) else batch
            yield texts.cast(pa.string())


def _format(path: Path) -> _Format:
    suffix = path.with_suffix("").suffix if path.suffix.lower() == ".gz" else path.suffix
    try:
        return _FORMATS[suffix.lower()]
    except KeyError:
        raise UserError(f"{path}: captions are read from {', '.join(_FORMATS)}, text also with .gz") from None


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Turn errors of reading into a one-line message that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        message = " ".join(str(error).split())[:300]
        if "straddl" in message:  # Arrow's word for a row that does not fit into a block
            message = f"a row is longer than {_BYTES >> 20} MB; is a quote left open?"
        raise UserError(f"{path} cannot be read: {message}") from error


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:40]) for name in columns[:20])
    return f"{shown}, …" if len(columns) > 20 else shown


def _parquet_columns(path: Path) -> list[str]:
    return [field.name for field in pq.read_schema(path) if _holds_text(field.type)]


def _holds_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    return kind in (pa.string(), pa.large_string())


def _parquet_batches(path: Path, column: str) -> Iterator[pa.Array]:
    with pq.ParquetFile(path, pre_buffer=False) as file:
        for group in range(file.num_row_groups):  # all at once would need memory that grows with the file
            for batch in file.iter_batches(_ROWS, [group], [column]):
                yield batch.column(0)


def _table(separator: str, quote: Literal['"', False]) -> _Format:
    """Rows of cells under a header, in UTF-8."""

    def columns(path: Path) -> list[str]:
        with pa.input_stream(path) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as lines:
            return next(
                csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE), []
            )

    def batches(path: Path, column: str) -> Iterator[pa.Array]:
        with pa.input_stream(path) as file:
            reader = pacsv.open_csv(
                file,
                pacsv.ReadOptions(use_threads=False, block_size=_BYTES),  # with threads, errors name no row
                pacsv.ParseOptions(delimiter=separator, quote_char=quote, newlines_in_values=bool(quote)),
                pacsv.ConvertOptions(include_columns=[column], column_types={column: pa.string()}),
            )
            for batch in reader:
                yield batch.column(0)

    return _Format(columns, batches)


def _json_lines_columns(path: Path) -> list[str]:
    with pa.input_stream(path) as file, io.TextIOWrapper(file, encoding="utf-8") as lines:
        row = json.loads(next(lines, "{}"))
    if not isinstance(row, dict):
        raise UserError(f"{path}, row 1: not a JSON object; every line must be one")
    return [name for name, value in row.items() if value is None or isinstance(value, str)]


def _json_lines_batches(path: Path, column: str) -> Iterator[pa.Array]:
    options = pajson.ParseOptions(pa.schema([(column, pa.string())]), unexpected_field_behavior="ignore")
    rows = 0
    with pa.input_stream(path) as file:
        try:
            for batch in pajson.open_json(file, pajson.ReadOptions(block_size=_BYTES), options):
                yield batch.column(0)
                rows += len(batch)
        except pa.ArrowInvalid as error:  # its rows count from 0 in every block
            message = re.sub(r"in row (\d+)", lambda row: f"in row {rows + int(row[1]) + 1}", str(error))
            raise ValueError(message) from error


def _coco_columns(path: Path) -> list[str]:
    return ["caption"] if any("caption" in annotation for annotation in _coco_annotations(path)) else []


def _coco_batches(path: Path, column: str) -> Iterator[pa.Array]:
    captions = [annotation.get(column) for annotation in _coco_annotations(path)]
    for index, caption in enumerate(captions):
        if not (caption is None or isinstance(caption, str)):
            raise UserError(f"{path}, annotation {index + 1}: the caption is no text")
    yield pa.array(captions, pa.string())


def _coco_annotations(path: Path) -> list[dict[str, object]]:
    with pa.input_stream(path) as file:
        content = json.loads(file.read())
    annotations = content.get("annotations") if isinstance(content, dict) else None
    if not (isinstance(annotations, list) and all(isinstance(one, dict) for one in annotations)):
        raise UserError(
            f'{path} is no captions file of COCO, {{"annotations": [{{"caption": …}}]}}; JSON lines end in .jsonl'
        )
    return annotations


_FORMATS = {
    ".parquet": _Format(_parquet_columns, _parquet_batches),
    ".csv": _table(",", '"'),
    ".tsv": _table("\t", False),
    ".jsonl": _Format(_json_lines_columns, _json_lines_batches),
    ".json": _Format(_coco_columns, _coco_batches),
}
