"""Tables whose image column names a class too (ID_12_edema, a.jpg_Fish): an image and a class in each row."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from promptmlr.data.columns import Columns, columns_of, is_image_name
from promptmlr.data.table import Table
from promptmlr.errors import UserError, first_names
from promptmlr.options.data import DataOptions, Unclear, with_commas

__all__ = ["class_after", "with_class_apart"]

_MARKS = ("_", "-", " ", "/", ":")
_SIDES = {"left", "right", "l", "r", "od", "os", "front", "back"}  # of what an image shows, and no classes


def with_class_apart(table: Table, options: DataOptions) -> Table:
    """The same table with columns image, label and perhaps value, as `options.class_after` says.

    Raises:
        UserError: an image column without this mark.
        Unclear: several columns may hold the values.
    """
    mark = options.class_after
    if mark is None:
        return table
    columns = columns_of(table.path, table.header, options, table.column)
    written = table.column(columns.image)
    odd = next((row for row, name in enumerate(written) if not all(_apart(name, mark))), None)
    if odd is not None and "class_after" in options.inherited:  # another table
        return table
    if odd is not None:
        raise UserError(f"{table.where(odd)}: no class after {mark!r} in {written[odd]!r}; --class-after says what is")
    if len(columns.rest) > 1:
        names = columns.names(columns.rest)
        readings = {
            f"{name!r} says whether it is there": {
                "ignore": with_commas([*columns.names(columns.ignored), *(one for one in names if one != name)])
            }
            for name in names
        }
        raise Unclear(f"{table.path}: {first_names(names)} may all say whether a class is there", readings)
    others = [*columns.ignored, *([] if columns.split is None else [columns.split])]
    kept = [*columns.rest, *others]
    header = (table.header[columns.image], "label", *["value"] * len(columns.rest), *columns.names(others))
    texts = {text: place for place, text in enumerate(table.texts)}
    parts = [[texts.setdefault(part, len(texts)) for part in _apart(name, mark)] for name in written]
    cells = np.hstack([np.array(parts, dtype=np.int32).reshape(-1, 2), table.cells[:, kept]])
    return replace(table, header=header, cells=cells, texts=tuple(texts))


def class_after(table: Table, columns: Columns) -> str | None:
    """The mark before the class, where it seems that each image has a row for each class."""
    for mark in _MARKS:
        classes: dict[str, set[str]] = defaultdict(set)
        for name in table.column(columns.image):
            image, class_name = _apart(name, mark)
            classes[image].add(class_name)
        named = next(iter(classes.values()), set())
        if (
            len(classes) > 1 < len(named)
            and all(one == named for one in classes.values())
            and (_are_classes(named) or all(map(is_image_name, classes)))
        ):
            return mark
    return None


def _are_classes(names: Sequence[str] | set[str]) -> bool:
    return all(any(map(str.isalpha, name)) and not is_image_name(name) and name.lower() not in _SIDES for name in names)


def _apart(name: str, mark: str) -> tuple[str, str]:
    """Image and class; a mark after the suffix of an image file is the one that counts."""
    place = name.find(mark)
    while place >= 0 and not is_image_name(name[:place]):
        place = name.find(mark, place + 1)
    place = place if place >= 0 else name.rfind(mark)
    return (name[:place], name[place + len(mark) :]) if place > 0 else ("", "")
