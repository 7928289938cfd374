"""What is known of a sample's labels: from the shard itself, or from a table with a row for its id."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from promptmlr.archives.sample import Sample
from promptmlr.data.codes import Codes
from promptmlr.data.options import DataOptions
from promptmlr.data.table import read_table
from promptmlr.data.unclear import decoded
from promptmlr.errors import UserError
from promptmlr.labels import PRESENT, UNKNOWN
from promptmlr.names import first_names

__all__ = ["LabelTable", "given_labels"]

_USUAL = Codes.of(None)
_LISTS = ("labels", "tags", "classes")
_BETWEEN = re.compile(r"[\n;,|]")


class LabelTable:
    """Labels by id, of a table whose first column is the id and whose others are classes.

    Cells are read as `promptmlr train` reads them.

    Args:
        path: any table (`promptmlr.data.table`).
        class_names: C names; other columns are left alone.

    Raises:
        UserError: it cannot be read, has none of the classes, a cell that is no label, or an id twice.
    """

    def __init__(self, path: Path, class_names: Sequence[str]) -> None:
        table = read_table(path)
        columns = {_spaced(name): column for column, name in enumerate(table.header) if column}
        self._names = [name for name in class_names if name in columns]
        if not self._names:
            raise UserError(f"{path}: none of its columns is a class of the run; it has {first_names(class_names)}")
        ids = table.column(0)
        self._rows = {one: row for row, one in enumerate(ids)}
        if len(self._rows) < len(ids):
            raise UserError(f"{path}: an id is in two rows; keep one of them")
        self._labels = decoded(table, [columns[name] for name in self._names], _USUAL, DataOptions())
        self.identity = hashlib.sha256(path.read_bytes()).hexdigest()

    def of(self, key: str) -> dict[str, int]:
        """Class → 1 or 0, where that is known of an id."""
        row = self._rows.get(key)
        if row is None:
            return {}
        labels = zip(self._names, self._labels[row].tolist(), strict=True)
        return {name: label for name, label in labels if label != UNKNOWN}


def given_labels(sample: Sample, class_names: Sequence[str]) -> dict[str, int]:
    """Class → 1 or 0, as far as the shard says so of a sample.

    A record (`.json` or columns) has classes as keys with 1, 0 or nothing, or `labels`, `tags` or `classes` with the
    names of those that are present. A `.cls` has the number or the name of one, a `.txt` names.
    """
    known = set(class_names)
    found: dict[str, int] = {}
    for name in _named(sample, class_names):
        if name in known:
            found[name] = PRESENT
    for records in (sample.record, *(sample.record.get(key) for key in _LISTS)):
        for name, value in records.items() if isinstance(records, Mapping) else ():
            label = _label(value)
            if _spaced(name) in known and label != UNKNOWN:
                found[_spaced(name)] = label
    return found


def _named(sample: Sample, class_names: Sequence[str]) -> list[str]:
    """Names that are said to be present, classes or not."""
    named: list[Any] = []
    for key in _LISTS:
        value = sample.record.get(key)
        named += value if isinstance(value, list) else _BETWEEN.split(value) if isinstance(value, str) else []
    for text in (sample.cls, sample.txt):
        named += _BETWEEN.split(text) if text else []
    if sample.cls and sample.cls.strip().isdecimal() and int(sample.cls) < len(class_names):
        named.append(class_names[int(sample.cls)])
    return [_spaced(name) for name in named if isinstance(name, str)]


def _spaced(name: str) -> str:
    return name.replace("_", " ").strip()


def _label(value: object) -> int:
    found = None if value is None else _USUAL.label(str(value))
    return UNKNOWN if found is None else found
