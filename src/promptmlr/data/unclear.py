"""Columns and cells of a table that cannot be read as they are, and the options that would read them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from promptmlr.data.codes import Codes, cell_key
from promptmlr.data.columns import Columns, folded, shape_of
from promptmlr.data.likely_codes import amounts, code_readings, is_word
from promptmlr.data.likely_lists import listings
from promptmlr.data.reshaped import class_after, with_class_apart
from promptmlr.data.table import Table, read_table
from promptmlr.errors import SHOWN, UserError, first_names
from promptmlr.labels import PRESENT, Labels
from promptmlr.options.data import DataOptions, Unclear, with_commas

__all__ = ["broken_cells", "decoded", "labels_of", "read_rows"]

T = TypeVar("T")

_NUMBERS = 8  # different numbers are no codes
_FEW, _SHARE = 2, 0.2  # more cells of a class that are no code are a column that is no class
_MOST_READINGS = 12
_OF_FILE = ("sheet", "encoding", "header", "transposed", "without_totals")  # options of `read_table`


def read_rows(path: Path, options: DataOptions, read: Callable[[Table, DataOptions], T]) -> T:
    """Read a table; where that is unclear, follow each reading to its end, so that what is proposed reads all of it.

    Args:
        path: the file.
        options: how it is read.
        read: table and options → what becomes of it.

    Raises:
        UserError: no reading leads to an end.
        Unclear: with the readings that do.
    """
    tables: dict[tuple[str | bool | None, ...], Table] = {}

    def opened(chosen: DataOptions) -> T:
        key = (*(getattr(chosen, name) for name in _OF_FILE), chosen.header and chosen.label_column)
        if key not in tables:
            tables[key] = read_table(path, chosen)
        return read(with_class_apart(tables[key], chosen), chosen)

    return _deepened(opened, options)


def _deepened(read: Callable[[DataOptions], T], options: DataOptions) -> T:
    try:
        return read(options)
    except Unclear as unclear:
        readings: dict[str, Mapping[str, Any]] = {}
        failure: UserError = unclear
        for when, fields in unclear.readings.items():
            if all(getattr(options, name) == value for name, value in fields.items()):  # said, and not enough
                continue
            try:
                inherited = tuple(name for name in options.inherited if name not in fields)
                _deepened(read, replace(options, **fields, inherited=inherited))
                readings[when] = fields
            except Unclear as deeper:
                alone = len(deeper.readings) == 1
                for more, further in deeper.readings.items():
                    readings[when if alone else f"{when} and {more}"] = {**fields, **further}
            except UserError as error:
                failure = error
        if not readings:
            raise failure from None
        if len(unclear.readings) == 1:  # what it says goes without saying
            (first,) = unclear.readings
            readings = {when.removeprefix(f"{first} and "): fields for when, fields in readings.items()}
        raise Unclear(unclear.problem, dict(list(readings.items())[:_MOST_READINGS])) from None


def labels_of(table: Table, columns: Columns, codes: Codes, options: DataOptions) -> Labels:
    """Labels (N, C) of a table with a column per class.

    Raises:
        UserError: see `decoded`; no column is a class.
        Unclear: see `decoded`; some columns are no classes (texts, ages, dates), and the reading leaves them out.
    """
    labels, broken = table.decode(columns.rest, codes.label)
    if not len(broken):
        return labels
    suspects = [columns.rest[place] for place in np.unique(broken[:, 1])]
    _refuse_odd_columns(table, columns, suspects, codes, options)
    return decoded(table, columns.rest, codes, options)


def _refuse_odd_columns(
    table: Table, columns: Columns, suspects: Sequence[int], codes: Codes, options: DataOptions
) -> None:
    odd = {column: cell for column in suspects if (cell := _no_label_in(table, columns, column, codes)) is not None}
    if not odd:
        return
    shown = [
        f"{columns.header[column]} ({cell!r} in row {_row_of(table, column, cell)})" for column, cell in odd.items()
    ]
    problem = f"{table.path}: no labels in column{'s' if len(odd) > 1 else ''} {first_names(shown, 5)}"
    if len(odd) < len(columns.rest) and options.classes is not None:
        raise UserError(f"{problem}; take them out of --classes")
    if mark := class_after(table, columns):
        raise Unclear(f"{problem}", {f"images are named before {mark!r} and classes after it": {"class_after": mark}})
    readings, said = _amounts(table, columns, suspects, odd)
    others = [c for c in columns.rest if c not in odd and not folded(columns.header[c]).endswith("id")]
    readings |= listings(table, columns, list(odd), some=not others and not readings)
    problem += said
    varied = [c for c in others if len(table.counts(c)) > 1]  # a column that says one thing may be no class
    if varied or (others and not readings):
        ignored = columns.names(sorted({*columns.ignored, *odd}))
        left_out = {"these are no classes": _of_columns(table, options, {"ignore": with_commas(ignored)})}
        readings = {**left_out, **readings} if len(varied) > 1 and not said else {**readings, **left_out}
    if not readings:
        raise UserError(f"{problem}; write 1 for present, 0 for absent, or say with --codes what cells mean")
    raise Unclear(problem, readings)


def _amounts(
    table: Table, columns: Columns, suspects: Sequence[int], odd: Collection[int]
) -> tuple[dict[str, dict[str, Any]], str]:
    """The readings of numbers, masks and the like as labels, where most columns hold some; and what these are."""
    named = [c for c in suspects if not folded(columns.header[c]).endswith("id")]
    chosen = [c for c in named if amounts([(columns.header[c], table.counts(c))]) is not None]
    texts = [c for c in odd if c not in chosen]
    found = amounts([(columns.header[c], table.counts(c)) for c in chosen]) if chosen else None
    others = len(columns.rest) - len({*odd, *chosen})
    if found is None or (others and (len(chosen) == 1 or len(chosen) < others)):
        return {}, ""
    what, codes = found
    ignored = columns.names(sorted({*columns.ignored, *texts}))
    more = {"ignore": with_commas(ignored)} if texts else {}
    return {f"these are {what}, and {when}": {**more, "codes": one} for when, one in codes.items()}, f"; {what}"


def _of_columns(table: Table, options: DataOptions, fields: dict[str, Any]) -> dict[str, Any]:
    """Fields with which the table is still one of a column per class, though it may look like one of lists then."""
    as_list = shape_of(table.header, replace(options, **fields)) is not None
    return (
        {**fields, "format": "csv"} if as_list and (options.format is None or "format" in options.inherited) else fields
    )


def decoded(table: Table, columns: Sequence[int], codes: Codes, options: DataOptions) -> Labels:
    """Labels (N, C) of C columns.

    Raises:
        UserError: cells are no code, and nobody can know what they mean.
        Unclear: cells are no code, and it is likely what they mean.
    """
    labels, broken = table.decode(columns, codes.label)
    if not len(broken):
        return labels
    places = np.unique(table.cells[:, np.asarray(columns, dtype=np.intp)])
    texts = [table.texts[place] for place in places.tolist()]
    readings = code_readings(texts, codes)
    if readings is None and not codes.texts:
        readings = _amounts_in(table, columns, labels, len(broken))
    if not readings:
        raise UserError(f"{broken_cells(table, columns, broken)}; {_hint(options)}")
    first = {table.texts[table.cells[row, columns[place]]]: (row, place) for row, place in broken[::-1]}
    said = broken_cells(table, columns, np.array(sorted(first.values())))
    if any(cell_key(text) == "-1" for text in first):
        said += "; -1 means absent to some and unknown to others"
    raise Unclear(said + (f"; {len(broken):,} such cells" if len(broken) > len(first) else ""), readings)


def _amounts_in(table: Table, columns: Sequence[int], labels: Labels, broken: int) -> dict[str, dict[str, str]] | None:
    """The readings of cells as numbers or masks; of counts only where more cells are such than are present."""
    found = amounts([(table.header[c], table.counts(c)) for c in columns])
    if found is None or (found[0] == "counts" and broken <= np.count_nonzero(labels == PRESENT)):
        return None
    return {when: {"codes": codes} for when, codes in found[1].items()}


def broken_cells(table: Table, columns: Sequence[int], broken: NDArray[np.intp]) -> str:
    """The first cells that are no code, by row and column."""
    shown = [
        f"row {table.rows[row]}, column {table.header[columns[place]].replace('_', ' ')!r}: "
        f"cannot read {table.texts[table.cells[row, columns[place]]]!r}"
        for row, place in broken[:SHOWN]
    ]
    more = len(broken) - len(shown)
    return f"{table.path}, {'; '.join(shown)}" + (f" and {more:,} more" if more else "")


def _hint(options: DataOptions) -> str:
    if options.codes is not None:
        return f"--codes says {options.codes}; add what is missing, or correct the cells"
    return "write 1 for present, 0 for absent, leave the cell blank for unknown, or say with --codes what cells mean"


def _no_label(counts: Mapping[str, int], codes: Codes) -> str | None:
    """A cell that shows that a column holds no labels; None where it may, or mostly does."""
    odd = [cell for cell in counts if codes.label(cell) is None and not is_word(cell)]
    filled = sum(count for cell, count in counts.items() if cell)
    bad = sum(counts[cell] for cell in odd)
    good = sum(count for cell, count in counts.items() if cell and codes.label(cell) is not None)
    if len({codes.label(cell) for cell in counts if cell} - {None}) > 1 and good > filled / 3 and _words_alone(odd):
        return None
    numbers = sum(cell.lstrip("-").replace(".", "", 1).isdigit() for cell in odd)
    few = 1 if numbers > 1 else _FEW
    return odd[0] if odd and (bad == filled or numbers >= _NUMBERS or bad > max(few, _SHARE * filled)) else None


def _words_alone(cells: Sequence[str]) -> bool:
    """Whether these are words beside labels (maybe, typos), and no numbers such as ages."""
    return not any(cell.lstrip("-").replace(".", "", 1).isdigit() for cell in cells)


def _no_label_in(table: Table, columns: Columns, column: int, codes: Codes) -> str | None:
    """The same of a column; one that is called an id holds none if any of its cells is no label."""
    counts = table.counts(column)
    odd = next(iter(cell for cell in counts if codes.label(cell) is None))
    return odd if folded(columns.header[column]).endswith("id") else _no_label(counts, codes)


def _row_of(table: Table, column: int, cell: str) -> int:
    return table.rows[int(np.argmax(table.cells[:, column] == table.texts.index(cell)))]
