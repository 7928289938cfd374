"""A list of JSON objects, each an image with its labels: read as the table that it is (`promptmlr.data.records`)."""

from dataclasses import replace
from pathlib import Path

from promptmlr.data.columns import shape_of
from promptmlr.data.formats.base import Format
from promptmlr.data.formats.csv import class_rows
from promptmlr.data.formats.list_csv import list_rows
from promptmlr.data.formats.long_csv import long_rows
from promptmlr.data.options import DataOptions
from promptmlr.data.records import RECORDS
from promptmlr.data.rows import LabelledRows
from promptmlr.data.table import Table
from promptmlr.data.unclear import read_rows

__all__ = ["FORMAT", "read_json_rows"]


def read_json_rows(path: Path, images: Path | None, options: DataOptions) -> LabelledRows:
    """Read a list of objects.

    Args:
        path: the file.
        images: the folder that image paths are relative to, by default that of the file.
        options: those of tables; `image_column` and the like are keys.

    Raises:
        UserError: the file is damaged or something else.
        Unclear: other options would read it.
    """
    return read_rows(path, options, lambda table, chosen: _rows(table, images or path.parent, chosen))


def _rows(table: Table, folder: Path, options: DataOptions) -> LabelledRows:
    kinds = {"list": list_rows, "long": long_rows, None: class_rows}
    return replace(kinds[shape_of(table.header, options)](table, folder, options), kind="JSON")


FORMAT = Format(
    "json",
    "a list of JSON objects (.json, .jsonl), each an image with its labels",
    lambda source: source.suffix in RECORDS,
    read_json_rows,
    weak=True,
    selects=True,
)
