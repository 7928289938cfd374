"""Which columns of a table most likely list classes, by their names or by what is in them."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from promptmlr.data.columns import LABELS, Columns, folded
from promptmlr.data.table import Table
from promptmlr.errors import first_names
from promptmlr.options.data import with_commas

__all__ = ["is_number", "listings"]

_CLASSLIKE = re.compile(
    r".*(label|class|tag|categor|diagnos|species|finding|disease|object|target|choice|annotation).*|dx|(common|scientific)name"
)
_NUMBERS_OF_CLASSES = ("classid", "categoryid", "labelid", "class", "category")  # a number each, as ids are
_DIGITS = "0123456789"
_DELIMITED = re.compile(r"[|;,]")


def listings(table: Table, columns: Columns, texts: Sequence[int], *, some: bool) -> dict[str, dict[str, Any]]:
    """The columns of texts that may list classes, by their names, or else (where `some` must) by what is in them."""
    names = {c: folded(columns.header[c]) for c in texts}
    found = [c for c in names if names[c] in LABELS and not all(map(is_number, table.counts(c)))]
    stems = Counter(name.rstrip(_DIGITS) for name in names.values())
    names = {  # a constant says nothing, unless it is one of several
        c: name for c, name in names.items() if len(table.counts(c)) > 1 or stems[name.rstrip(_DIGITS)] > 1
    }
    numbered = [c for c in names if names[c] in _NUMBERS_OF_CLASSES]
    lists = [c for c in names if all(cell.startswith("[") for cell in table.counts(c) if cell)]
    names = {c: name for c, name in names.items() if c in lists or any(map(str.isalpha, "".join(table.counts(c))))}
    found = found or [c for c in names if _CLASSLIKE.fullmatch(names[c])] or numbered or lists
    if some and not found:
        found = [c for c in names if any(_DELIMITED.search(cell) for cell in table.counts(c))]
        found = found or [
            c for c in names if not names[c].endswith("id") and len(table.counts(c)) <= len(table.rows) / 2
        ]
        found = found or (list(names) if len(texts) == 1 else [])
    together: dict[str, list[str]] = {}  # label1, label2 and label3 are one list
    for c in found:
        together.setdefault(folded(columns.header[c]).rstrip(_DIGITS), []).append(columns.header[c])
    return {
        f"{first_names([*map(repr, names)])} list{'s' if len(names) == 1 else ''} classes": {
            "label_column": names[0] if len(names) == 1 else with_commas(names)
        }
        for names in together.values()
    }


def is_number(cell: str) -> bool:
    """Whether a cell is a number or blank."""
    return cell.lstrip("+-").replace(".", "", 1).replace(",", "", 1).isdigit() or not cell
