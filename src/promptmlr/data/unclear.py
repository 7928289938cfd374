"""Tables that cannot be read as they are, and the options that would read them."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from promptmlr.data.codes import MEANINGS, Codes, cell_key
from promptmlr.data.columns import LABELS, Columns, folded, shape_of
from promptmlr.data.table import Table, read_table
from promptmlr.errors import SHOWN, UserError, first_names, told
from promptmlr.labels import ABSENT, PRESENT, UNKNOWN, Labels
from promptmlr.options.data import DataOptions, Unclear, with_commas

__all__ = ["SEVERAL", "broken_cells", "decoded", "labels_of", "read_rows", "refuse_repeated", "refuse_totals"]

T = TypeVar("T")

SEVERAL = {
    "a label is unknown on which rows of an image disagree": {"several": "agree"},
    "most rows of an image are right": {"several": "majority"},
}
"""When which value of `DataOptions.several` is right."""

_WORDS = {
    **dict.fromkeys(("1", "yes", "y", "true", "x", "✓", "✔", "✔️", "✅", "☑", "●", "+"), PRESENT),
    **dict.fromkeys(("present", "positive", "pos", "checked", "t", "on"), PRESENT),
    **dict.fromkeys(("ja", "j", "wahr", "oui", "vrai", "sí", "si", "sim", "да", "是", "はい", "tak"), PRESENT),
    **dict.fromkeys(("0", "no", "n", "false", "absent", "negative", "neg", "unchecked", "f", "off"), ABSENT),
    **dict.fromkeys(
        ("☐", "✗", "✘", "❌", "nein", "falsch", "non", "faux", "não", "нет", "否", "いいえ", "nie"), ABSENT
    ),
    **dict.fromkeys(("", "?", "na", "n/a", "none", "null", "unknown", "uncertain", "unsure", "not sure"), UNKNOWN),
}
"""What a cell most likely says; -1 and - say absent to some and unknown to others."""
_EITHER = ("-1", "-")
_MARKS = {"x": "o", "×": "○"}
"""Pairs of marks: the first is present to some (a cross), the second to others (as in Japan)."""
_CLASSLIKE = re.compile(
    r".*(label|class|tag|categor|diagnos|species|finding|disease|object|target).*|(common|scientific)name"
)
_NUMBERS_OF_CLASSES = ("classid", "categoryid", "labelid", "class", "category")  # a number each, as ids are
_DIGITS = "0123456789"
_TOTALS = ("total", "totals", "grand total", "sum", "summe", "gesamt")
_NUMBERS = 8  # different numbers are no codes
_FEW, _SHARE = 2, 0.2  # more cells of a class that are no code are a column that is no class
_DELIMITED = re.compile(r"[|;,]")
_MOST_READINGS = 12


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
        key = (chosen.sheet, chosen.encoding, chosen.header, chosen.without_totals)
        if key not in tables:
            tables[key] = read_table(path, chosen)
        return read(tables[key], chosen)

    return _deepened(opened, options)


def _deepened(read: Callable[[DataOptions], T], options: DataOptions) -> T:
    try:
        return read(options)
    except Unclear as unclear:
        readings: dict[str, Mapping[str, Any]] = {}
        failure: UserError = unclear
        for when, fields in unclear.readings.items():
            try:
                _deepened(read, replace(options, **fields))
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
    odd = {column: cell for column in suspects if (cell := _no_label(table.counts(column), codes)) is not None}
    if not odd:
        return
    shown = [
        f"{columns.header[column]} ({cell!r} in row {_row_of(table, column, cell)})" for column, cell in odd.items()
    ]
    problem = f"{table.path}: no labels in column{'s' if len(odd) > 1 else ''} {first_names(shown, 5)}"
    if len(odd) < len(columns.rest) and options.classes is not None:
        raise UserError(f"{problem}; take them out of --classes")
    readings = _listing(table, columns, list(odd), some=len(odd) == len(columns.rest))
    if len(odd) < len(columns.rest):
        ignored = columns.names(sorted({*columns.ignored, *odd}))
        readings["these are no classes"] = _of_columns(table, options, {"ignore": with_commas(ignored)})
    if not readings:
        raise UserError(f"{problem}; write 1 for present, 0 for absent, or say with --codes what cells mean")
    raise Unclear(problem, readings)


def _of_columns(table: Table, options: DataOptions, fields: dict[str, Any]) -> dict[str, Any]:
    """Fields with which the table is still one of a column per class, though it may look like one of lists then."""
    as_list = shape_of(table.header, replace(options, **fields)) is not None
    return (
        {**fields, "format": "csv"} if as_list and (options.format is None or "format" in options.inherited) else fields
    )


def _listing(table: Table, columns: Columns, texts: Sequence[int], *, some: bool) -> dict[str, dict[str, Any]]:
    """The columns of texts that may list classes, by their names, or else (where `some` must) by what is in them."""
    names = {c: folded(columns.header[c]) for c in texts}
    found = [c for c in names if names[c] in LABELS and not all(map(_is_number, table.counts(c)))]
    stems = Counter(name.rstrip(_DIGITS) for name in names.values())
    names = {  # a constant says nothing, unless it is one of several
        c: name for c, name in names.items() if len(table.counts(c)) > 1 or stems[name.rstrip(_DIGITS)] > 1
    }
    numbered = [c for c in names if names[c] in _NUMBERS_OF_CLASSES]
    names = {c: name for c, name in names.items() if any(map(str.isalpha, "".join(table.counts(c))))}
    found = found or [c for c in names if _CLASSLIKE.fullmatch(names[c])] or numbered
    if some and not found:
        found = [c for c in names if any(_DELIMITED.search(cell) for cell in table.counts(c))]
        found = found or [
            c for c in names if not names[c].endswith("id") and len(table.counts(c)) <= len(table.rows) / 2
        ]
    together: dict[str, list[str]] = {}  # label1, label2 and label3 are one list
    for c in found:
        together.setdefault(folded(columns.header[c]).rstrip(_DIGITS), []).append(columns.header[c])
    return {
        f"{first_names([*map(repr, some)])} list{'s' if len(some) == 1 else ''} classes": {
            "label_column": some[0] if len(some) == 1 else with_commas(some)
        }
        for some in together.values()
    }


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
    if name.strip(" :").casefold() in _TOTALS or (not name and others and all(map(_is_number, others))):
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
    readings: dict[str, Mapping[str, Any]] = dict(_listing(table, columns, texts, some=not answers))
    if not readings:
        labels, _ = table.decode(answers, codes.label)
        disputed = any(
            {0, 1} <= set(pair)
            for row in again
            for pair in zip(labels[row], labels[first[image_ids[row]]], strict=True)
        )
        readings = dict(SEVERAL) if disputed else {"rows of an image belong together": {"several": "agree"}}
    raise Unclear(f"{problem}; keep one of them", readings)


def _is_number(cell: str) -> bool:
    return cell.lstrip("+-").replace(".", "", 1).replace(",", "", 1).isdigit() or not cell


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
    readings = _code_readings(texts, codes)
    if readings is None:
        raise UserError(f"{broken_cells(table, columns, broken)}; {_hint(options)}")
    first = {table.texts[table.cells[row, columns[place]]]: (row, place) for row, place in broken[::-1]}
    said = broken_cells(table, columns, np.array(sorted(first.values())))
    if any(cell_key(text) == "-1" for text in first):
        said += "; -1 means absent to some and unknown to others"
    raise Unclear(said + (f"; {len(broken):,} such cells" if len(broken) > len(first) else ""), readings)


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
    odd = [cell for cell in counts if codes.label(cell) is None and not _is_word(cell)]
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


def _is_word(cell: str) -> bool:
    key = cell_key(cell)
    return key in _WORDS or key in _EITHER or key in _MARKS or key in _MARKS.values()


def _row_of(table: Table, column: int, cell: str) -> int:
    return table.rows[int(np.argmax(table.cells[:, column] == table.texts.index(cell)))]


def _code_readings(texts: Collection[str], codes: Codes) -> dict[str, dict[str, str]] | None:
    """When → codes of all cells, where it is likely what those say that are no code yet."""
    spelled: dict[str, str] = {}
    for text in texts:
        spelled.setdefault(cell_key(text), text)
    if not all(key in codes.labels or _is_word(key) for key in spelled):
        return None
    said = codes.labels if codes.texts else {}
    for cross, ring in _MARKS.items():
        if cross in spelled and ring in spelled and not {cross, ring} & said.keys():
            ways = ((cross, ring), (ring, cross))
            codings = [
                {"codes": _written({**said, **_sure(spelled, said), a: PRESENT, b: ABSENT}, spelled)} for a, b in ways
            ]
            return {f"{spelled[a]} is present": coding for (a, _), coding in zip(ways, codings, strict=True)}
    sure = _sure(spelled, said)
    open_blank = "" in spelled and "" not in said and ABSENT not in sure.values()
    either = [key for key in spelled if key in _EITHER and key not in said]
    if either and "0" in sure and "" in sure:
        choices: dict[str, dict[str, int]] = {"": dict.fromkeys(either, UNKNOWN)}
    elif either and "0" in sure:
        choices = {
            f"{spelled[either[0]]} is unknown": dict.fromkeys(either, UNKNOWN),
            f"{spelled[either[0]]} is absent and 0 unknown": {**dict.fromkeys(either, ABSENT), "0": UNKNOWN},
        }
    elif either:
        choices = {
            f"{spelled[either[0]]} is absent": dict.fromkeys(either, ABSENT),
            f"{spelled[either[0]]} is unknown": {
                **dict.fromkeys(either, UNKNOWN),
                **({"": ABSENT} if open_blank else {}),
            },
        }
    elif "" in spelled and (open_blank or (codes.texts and "" not in said)):
        choices = {"blank is unknown": {"": UNKNOWN}, "blank is absent": {"": ABSENT}}
    else:
        choices = {"": {}}
    return {when: {"codes": _written({**said, **sure, **more}, spelled)} for when, more in choices.items()}


def _sure(spelled: Mapping[str, str], said: Mapping[str, int]) -> dict[str, int]:
    marks = dict.fromkeys((*_MARKS, *_MARKS.values()), PRESENT)  # where there is one of a pair alone
    return {key: {**marks, **_WORDS, **said}[key] for key in spelled if key in marks or key in _WORDS or key in said}


def _written(labels: Mapping[str, int], spelled: Mapping[str, str]) -> str:
    return ",".join(
        f"{spelled.get(key, key)}={meaning}"
        for meaning, label in MEANINGS.items()
        for key, one in sorted(labels.items(), key=lambda item: item[0] == "")
        if one == label
    )
