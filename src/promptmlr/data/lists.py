"""The names that a cell lists: how they are apart, and lists as JSON and Python write them."""

import ast
import json
import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from promptmlr.errors import UserError
from promptmlr.options.data import Unclear

__all__ = ["DELIMITERS", "cell_of", "delimiter_of_lists", "delimiter_of_rows", "names_in", "refuse_odd_names", "shown"]

DELIMITERS = ("|", ";", ",", "\t")
"""What usually stands between names."""

_RARE = ("+", "/", "&", " and ")  # may do so, where what is apart then is also named alone
_SHOWN = {"\t": "a tab", " ": "a space"}
_BRACKETS = re.compile(  # meant as a list of JSON, or as a list, tuple or set of Python
    r"""\[(\s*|\s*\d+\s*|.*[\['",].*)\]|\(\s*(['"].*)?\)|\{\s*(['"].*)?\}|set\(\)""", re.DOTALL
)
_WRAPPED = re.compile(r'\{\s*"\w+"\s*:\s*(\[.*\])\s*\}', re.DOTALL)  # as Label Studio writes several choices in a CSV
_OBJECT = re.compile(r"""\{\s*['"].*['"]\s*:.*\}""", re.DOTALL)
_AMOUNT = re.compile(r".*[^\W\d]\s*(?:[:=]\s*\d+(?:\.\d+)?|\(\s*(?:\d*\.\d+|\d+\s*%)\s*\))")  # dog:2, dog (0.9)
_BITS = re.compile(r"[01]{3,}")
_BARE = re.compile(r"\[([^\[\]{}\"']*[^\W\d][^\[\]{}\"']*)\]")  # names without quotes
_APART = re.compile(r"""['"]\s+['"]""")  # as numpy writes lists; Python would join such names


def shown(mark: str) -> str:
    """A delimiter in words."""
    return _SHOWN.get(mark, mark)


def _unwritten(cells: Collection[str]) -> list[str]:
    """Cells that are no list of JSON or Python."""
    return sorted(cell for cell in cells if not _BRACKETS.fullmatch(cell) and not _OBJECT.fullmatch(cell))


def delimiter_of_rows(path: Path, cells: Collection[str]) -> str | None:
    """The delimiter in cells of which an image may have several: there, it may be part of a name."""
    cells = _unwritten(cells)
    mark = next((mark for mark in DELIMITERS if any(mark in cell for cell in cells)), None)
    if mark is None:
        return None
    other = next(one for one in DELIMITERS if one != mark)
    said = shown(mark)
    readings = {f"{said} stands between names": {"delimiter": mark}, "it is inside names": {"delimiter": other}}
    raise Unclear(f"{path}: {next(cell for cell in cells if mark in cell)!r} may be several names or one", readings)


def delimiter_of_lists(path: Path, cells: Collection[str], *, lists: bool) -> str | None:
    """The delimiter that occurs; None where every cell holds one name at most, as where the column is of no `lists`."""
    cells = _unwritten(cells)
    found = [mark for mark in DELIMITERS if any(mark in cell for cell in cells)]
    if len(found) == 1:
        return found[0]
    if found:
        first, second = (shown(mark) for mark in found[:2])
        readings = {f"{shown(mark)} stands between names": {"delimiter": mark} for mark in found}
        raise Unclear(f"{path}: its lists hold both {first} and {second}", readings)
    for mark in _RARE:
        for cell in (cell for cell in cells if mark in cell):
            if any(part.strip() in cells for part in cell.split(mark)):
                readings = {
                    f"{mark.strip()} stands between names": {"delimiter": mark},
                    "it is inside names": {"delimiter": "|"},
                }
                raise Unclear(f"{path}: {cell!r} may be several names or one", readings)
    _refuse_amounts(path, cells)
    spaced = [cell for cell in cells if " " in cell]
    if not spaced or not (lists or all(part.isdigit() for cell in spaced for part in cell.split())):
        return None
    if all(part.isdigit() for cell in spaced for part in cell.split()):
        return " "
    readings = {"spaces stand between names": {"delimiter": " "}, "they are inside names": {"delimiter": "|"}}
    raise Unclear(f"{path}: {spaced[0]!r} may be {len(spaced[0].split())} names or one", readings)


def names_in(cell: str, delimiter: str | None, where: str) -> list[str]:
    """The names that a cell lists; a line break is always between two.

    Raises:
        UserError: brackets that are no list of names, or a list of 1 and 0.
        Unclear: names without quotes in brackets.
    """
    names = _parts(cell, delimiter, where)
    if names and set(names) <= {"0", "1"} and len(names) > len(set(names)):
        raise UserError(f"{where}: {cell[:80]!r} says of each class whether it is there; write a column per class")
    return names


def cell_of(names: Sequence[str], delimiter: str | None = None) -> str:
    """A cell in which `names_in` finds these names: a list of JSON where they would be read as others, as `[]` is."""
    cell = (delimiter or "").join(names)
    with suppress(UserError):
        if names_in(cell, delimiter, cell) == list(names):
            return cell
    return json.dumps(list(names), ensure_ascii=False)


def _parts(cell: str, delimiter: str | None, where: str) -> list[str]:
    if wrapped := _WRAPPED.fullmatch(cell):
        return _written_list(wrapped[1], where)
    if _OBJECT.fullmatch(cell):
        raise UserError(f"{where}: cannot read the list {cell[:80]!r}; write names with | between them")
    bare = _BARE.fullmatch(cell)
    if _BRACKETS.fullmatch(cell) and not (bare and delimiter):
        if bare:
            raise Unclear(
                f"{where}: cannot read the list {cell[:80]!r}", {"its names are apart by ,": {"delimiter": ","}}
            )
        return _written_list(cell, where)
    cell = bare[1] if bare and delimiter else cell
    parts = [part for line in cell.splitlines() for part in ([line] if delimiter is None else line.split(delimiter))]
    return [clean for part in parts if (clean := part.strip())]


def refuse_odd_names(path: Path, names: Collection[str]) -> None:
    """Refuse names that say more than that a class is there.

    Args:
        path: the file, for messages.
        names: all that its lists have.

    Raises:
        UserError: a name has a number (dog:2), a sign for absence (-dog), or is a row of 1 and 0.
    """
    _refuse_amounts(path, names)
    denied = next((name for name in sorted(names) if name[:1] in "-!" and name[1:].strip() in names), None)
    if denied is not None:
        raise UserError(f"{path}: {denied!r} seems to mean an absent class; list such classes in a column negatives")
    if len({len(name) for name in names}) == 1 and all(map(_BITS.fullmatch, names)):
        raise UserError(f"{path}: {min(names)!r} says of each class whether it is there; write a column per class")


def _refuse_amounts(path: Path, names: Collection[str]) -> None:
    odd = next(filter(_AMOUNT.fullmatch, sorted(names)), None)
    if odd is not None:
        raise UserError(f"{path}: {odd!r} is a name with a number; leave numbers out, or write a column per class")


def _written_list(cell: str, where: str) -> list[str]:
    """A list as JSON or as Python writes it."""
    try:
        found = set() if cell == "set()" else None if _APART.search(cell) else ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    found = [found] if isinstance(found, str) else found  # one name in round brackets
    found = None if found is None else [str(name) if isinstance(name, int) else name for name in found]
    if found is None or not all(isinstance(name, str) for name in found):
        raise UserError(f"{where}: cannot read the list {cell[:80]!r}; write names with | between them")
    return [clean for name in found if (clean := name.strip())]
