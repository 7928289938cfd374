"""Rows that are no image of their own: sums, and further rows of an image; and the options that would read them."""

from collections.abc import Mapping
from typing import Any

from promptmlr.data.codes import Codes, number_in
from promptmlr.data.columns import Columns, folded
from promptmlr.data.likely_lists import is_number, listings
from promptmlr.data.table import Table
from promptmlr.errors import told
from promptmlr.options.data import DataOptions, Unclear

__all__ = ["SEVERAL", "refuse_repeated", "refuse_totals"]

SEVERAL = {
    "a label is unknown on which rows of an image disagree": {"several": "agree"},
    "most rows of an image are right": {"several": "majority"},
}
"""When which value of `DataOptions.several` is right."""

_TOTALS = ("total", "totals", "grand total", "sum", "summe", "gesamt")


def refuse_totals(table: Table, columns: Columns) -> None:
    """Refuse a last row that sums up the others.

    Raises:
        Unclear: there seems to be one.
    """
    if not table.rows:
        return
    last = [table.texts[place] for place in table.cells[-1]]
    name = last[columns.image]
    others = [cell for place, cell in enumerate(last) if place != columns.image and cell]
    called = any(cell.strip(" :").casefold() in _TOTALS for cell in ([name] if name else others))
    if called or (not name and others and all(map(is_number, others))):
        problem = f"{table.where(len(table.rows) - 1)}: {repr(name) if name else 'no image name, which'} "
        raise Unclear(f"{problem}looks like a row of totals, not an image", {"it is": {"without_totals": True}})


def refuse_repeated(table: Table, columns: Columns, codes: Codes, options: DataOptions) -> None:
    """Refuse a table with several rows of an image: a class in each, or what several people say, or a mistake.

    Raises:
        Unclear: with these readings.
    """
    image_ids = table.column(columns.image)
    first: dict[str, int] = {}
    again = [row for row, image_id in enumerate(image_ids) if image_id and first.setdefault(image_id, row) != row]
    if not again or options.several is not None:
        return
    problem = told(
        [
            f"{table.where(row)}: image {image_ids[row]!r} is there already ({table.where(first[image_ids[row]])})"
            for row in again
        ]
    )
    answers = [c for c in columns.rest if all(codes.label(cell) is not None for cell in table.counts(c))]
    texts = [c for c in columns.rest if c not in answers]
    listed = listings(table, columns, texts, some=not answers)
    readings: dict[str, Mapping[str, Any]] = _with_values(table, columns, listed, codes)
    if not readings:
        labels, _ = table.decode(answers, codes.label)
        disputed = any(
            {0, 1} <= set(pair)
            for row in again
            for pair in zip(labels[row], labels[first[image_ids[row]]], strict=True)
        )
        readings = dict(SEVERAL) if disputed else {"rows of an image belong together": {"several": "agree"}}
    raise Unclear(f"{problem}; keep one of them", readings)


def _with_values(
    table: Table, columns: Columns, listed: Mapping[str, Mapping[str, Any]], codes: Codes
) -> dict[str, Mapping[str, Any]]:
    """The same readings, and before them those with the one column that may say whether a listed class is there."""
    found = [c for c in columns.rest if _may_be_value(table.counts(c), codes)]
    if len(found) != 1 or folded(columns.header[found[0]]) == "value":  # which is found by its name
        return dict(listed)
    (name,) = columns.names(found)
    valued = {
        f"{name!r} says whether a class is there": {**fields, "value_column": name}
        for fields in listed.values()
        if "," not in fields["label_column"]
    }
    return {**valued, **{f"all that is listed is there, and {when}": fields for when, fields in listed.items()}}


def _may_be_value(counts: Mapping[str, int], codes: Codes) -> bool:
    """Whether cells say present and absent, or are numbers between 0 and 1."""
    said = {codes.label(cell) for cell in counts}
    numbers = [number_in(cell) for cell in counts if cell]
    shares = all(number is not None and 0 <= number <= 1 for number in numbers)
    return {0, 1} <= said <= {0, 1, -1} or (len(numbers) > 1 and shares and None in said)
