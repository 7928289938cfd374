"""Sheets of XLSX files as rows of texts, and nothing of them half-read."""

import datetime
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from promptmlr.errors import UserError, first_names, nearest, of_extra
from promptmlr.options.data import Unclear

__all__ = ["SHEETS", "cell_text", "sheet_rows"]

SHEETS = (".xlsx", ".xlsm")
_CELL = re.compile(rb"<c\s([^>]*[^/>])>(.*?)</c>", re.DOTALL)
_PLACE = re.compile(rb'\br="([A-Z]+[0-9]+)"')
_VALUE = re.compile(rb"<v[^>]*>[^<]")


def sheet_rows(path: Path, sheet: str | None) -> Iterator[list[str]]:
    """All rows of a sheet, by default of the only visible one that has any.

    Raises:
        UserError: the file cannot be read, or has no such sheet; cells are merged; formulas have no value.
    """
    with of_extra("xlsx"):
        from python_calamine import CalamineError, CalamineWorkbook, SheetVisibleEnum
    try:
        with CalamineWorkbook.from_path(path) as book:
            shown = [one.name for one in book.sheets_metadata if one.visible == SheetVisibleEnum.Visible]
            if sheet is None:
                shown = [name for name in shown if book.get_sheet_by_name(name).height] or shown[:1]
                if len(shown) > 1:
                    readings = {f"the labels are in {name!r}": {"sheet": name} for name in shown}
                    raise Unclear(f"{path} has {len(shown)} sheets: {first_names(shown)}", readings)
            elif sheet not in book.sheet_names:
                raise UserError(f"{path}: no sheet {sheet!r}; {nearest(sheet, book.sheet_names)}")
            name = sheet if sheet is not None else shown[0]
            chosen = book.get_sheet_by_name(name)
            _refuse_lost(path, name, chosen.merged_cell_ranges or [])
            rows = chosen.to_python(skip_empty_area=False)
    except (OSError, CalamineError, zipfile.BadZipFile, ElementTree.ParseError, KeyError, IndexError) as error:
        raise UserError(
            f"cannot read {path}: {getattr(error, 'strerror', None) or error}; save it as XLSX again"
        ) from error
    for row in rows:
        yield [cell_text(value) for value in row]


def cell_text(value: Any) -> str:
    """A cell that is more than a text, as a CSV would have it: nothing for none, 1 for 1.0, true for True."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value)


def _refuse_lost(path: Path, name: str, merged: list[tuple[tuple[int, int], tuple[int, int]]]) -> None:
    """Refuse cells that would be read as blank and are not: merged ones, and formulas without a value."""
    if merged:
        (top, left), (bottom, right) = merged[0]
        where = f"{_letters(left)}{top + 1}:{_letters(right)}{bottom + 1}"
        raise UserError(
            f"{path}, sheet {name!r}: cells are merged ({where}), so all but the first look blank; unmerge them and "
            "fill each"
        )
    xml = _sheet_xml(path, name)
    if b"<f" not in xml and b't="e"' not in xml:
        return
    lost = []
    for attributes, body in _CELL.findall(xml):
        formula = b"<f" in body and b't="str"' not in attributes and not _VALUE.search(body)
        if (formula or b't="e"' in attributes) and (place := _PLACE.search(attributes)):
            lost.append(place[1].decode())
    if lost:
        raise UserError(
            f"{path}, sheet {name!r}: formulas without a value, or with an error, in {first_names(lost)}; open "
            "the file in a spreadsheet program, mend them and save it"
        )


def _sheet_xml(path: Path, name: str) -> bytes:
    with zipfile.ZipFile(path) as archive:
        sheets = ElementTree.fromstring(archive.read("xl/workbook.xml")).iter()
        links = ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))
        place = next(
            value
            for one in sheets
            if one.tag.endswith("}sheet") and one.get("name") == name
            for key, value in one.attrib.items()
            if key.endswith("}id")
        )
        target = next(link.attrib["Target"] for link in links if link.attrib["Id"] == place)
        return archive.read(target.removeprefix("/") if target.startswith("/") else f"xl/{target}")


def _letters(column: int) -> str:
    """A, B, … Z, AA and so on."""
    before, last = divmod(column, 26)
    return (_letters(before - 1) if before else "") + chr(ord("A") + last)
