"""Sheets of XLSX files as rows of texts, and nothing of them half-read."""

import datetime
import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from promptmlr.data.heading import LOOKED_AT, names_of
from promptmlr.errors import UserError, first_names, nearest, of_extra
from promptmlr.options.data import DataOptions, Unclear

__all__ = ["SHEETS", "cell_text", "sheet_rows", "sheet_with"]

SHEETS = (".xlsx", ".xlsm", ".ods")
_CELL = re.compile(rb"<c\s([^>]*[^/>])>(.*?)</c>", re.DOTALL)
_PLACE = re.compile(rb'\br="([A-Z]+[0-9]+)"')
_DAMAGED = (zipfile.BadZipFile, ElementTree.ParseError, KeyError, IndexError)
_ROW = re.compile(rb'<row\b[^>]*?\br="([0-9]+)"[^>]*?(?:/>|>.*?</row>)', re.DOTALL)
_ANY_ROW = re.compile(rb"<row[\s/>]")
_STYLE = re.compile(rb'\s+s="[0-9]+"')
_OWN_STYLE = b'customFormat="1"'  # of a row, which its blank cells have then
_ANY_CELL = re.compile(rb"<c\b([^>]*?)(?:/>|>(.*?)</c>)", re.DOTALL)
_TYPE = re.compile(rb'\s+t="[^"]*"')
_FORMULA = re.compile(rb"<f[ >/]")
_BOOK = "xl/workbook.xml"
_BEFORE_CALCULATION = re.compile(  # what the standard has before it (ECMA-376, CT_Workbook)
    rb"(.*(?:</sheets>|<functionGroups[^>]*/>|</functionGroups>|</externalReferences>|</definedNames>))", re.DOTALL
)
_VALUE = re.compile(rb"<v[^>]*>[^<]")
_ROW_NUMBER = re.compile(rb'<row\b[^>]*?\br="([0-9]+)"')
_FAR_CELL = re.compile(rb'<c\b[^>]*?\br="([A-Z]{3})[0-9]')  # beyond column ZZ
_MOST_CELLS = 1 << 27
_LARGEST = 1 << 31  # bytes of a sheet as XML


def sheet_rows(path: Path, options: DataOptions) -> Iterator[list[str]]:
    """All rows of a sheet, by default of the only visible one that has any.

    Args:
        path: the file.
        options: `sheet`; and `image_column`, as cells may be merged above the names of the columns.

    Raises:
        UserError: the file cannot be read, or has no such sheet; cells are merged; formulas have no value.
    """
    with of_extra("xlsx"):
        from python_calamine import CalamineError, CalamineWorkbook
    name = _sheet_name(path, options.sheet)
    try:
        with CalamineWorkbook.from_path(path) as book:
            chosen = book.get_sheet_by_name(name)
            rows = [[cell_text(value) for value in row] for row in chosen.to_python(skip_empty_area=False)]
            start = names_of(rows[:LOOKED_AT], options)[2] if any(map(any, rows)) else 0
            merged = [area for area in chosen.merged_cell_ranges or [] if area[1][0] >= start]
            _refuse_lost(path, name, merged)
    except (OSError, CalamineError, *_DAMAGED) as error:
        raise _unreadable(path, error) from error
    yield from rows


def _sheet_name(path: Path, sheet: str | None) -> str:
    """The sheet of that name, or the only visible one that has any rows."""
    with of_extra("xlsx"):
        from python_calamine import CalamineError, CalamineWorkbook, SheetVisibleEnum
    try:
        with CalamineWorkbook.from_path(path) as book:
            if sheet is not None:
                if sheet not in book.sheet_names:
                    raise UserError(f"{path}: no sheet {sheet!r}; {nearest(sheet, book.sheet_names)}")
                _refuse_endless(path, sheet)
                return sheet
            shown = [one.name for one in book.sheets_metadata if one.visible == SheetVisibleEnum.Visible]
            for one in shown:
                _refuse_endless(path, one)
            shown = [name for name in shown if book.get_sheet_by_name(name).height] or shown[:1]
    except (OSError, CalamineError, *_DAMAGED) as error:
        raise _unreadable(path, error) from error
    if len(shown) > 1:
        readings = {f"the labels are in {name!r}": {"sheet": name} for name in shown}
        raise Unclear(f"{path} has {len(shown)} sheets: {first_names(shown)}", readings)
    return shown[0]


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}; save it as XLSX again")


def sheet_with(path: Path, options: DataOptions, texts: Mapping[tuple[int, int], str]) -> bytes:
    """The file with other texts in some cells, and everything else in it byte for byte as it was.

    Libraries that write XLSX drop pictures, charts and the values of formulas, so the cells are replaced in the XML.
    Where there are formulas, the workbook also asks to be calculated again when it is opened: they may count labels.

    Args:
        path: the file.
        options: as `sheet_rows` takes them.
        texts: row and column, both counted from 1 → the text.

    Raises:
        UserError: the file cannot be read, its XML is not as spreadsheet programs write it, or one of these cells is a
            formula.
    """
    if path.suffix.lower() == ".ods":
        raise UserError(f"{path}: sheets of LibreOffice are read, not written; --to csv writes these labels")
    rows = list(sheet_rows(path, options))
    name = _sheet_name(path, options.sheet)
    place, xml = _sheet_xml(path, name)
    if b"<sheetData" not in xml or len(_ANY_ROW.findall(xml)) != len(_ROW.findall(xml)):
        raise UserError(f"{path}: its rows are not as spreadsheet programs write them; save it in one, or use --to csv")
    # A cell is written as the first one that shows this text: as a number, or as one of the shared texts.
    shown: dict[str, tuple[int, int]] = {}
    for number, row in enumerate(rows, start=1):
        for column, text in enumerate(row, start=1):
            shown.setdefault(text, (number, column))
    known = {text: _content(xml, *where) for text, where in shown.items() if text and text in texts.values()}
    by_row: dict[int, dict[int, bytes]] = {}
    for (number, column), text in texts.items():
        by_row.setdefault(number, {})[column] = known.get(text) or _typed(text)

    def replaced(match: re.Match[bytes]) -> bytes:
        number = int(match[1])
        return _row_with(match[0], number, by_row[number], path) if number in by_row else match[0]

    content = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(content, "w") as new:
        parts = {one.filename: old.read(one) for one in old.infolist()}
        parts[place] = _ROW.sub(replaced, xml)
        if texts and any(_FORMULA.search(part) for where, part in parts.items() if where.startswith("xl/worksheets/")):
            parts[_BOOK] = _calculated_when_opened(parts[_BOOK])
        for one in old.infolist():
            new.writestr(one, parts[one.filename], one.compress_type)
    return content.getvalue()


def _calculated_when_opened(book: bytes) -> bytes:
    """The XML of a workbook that shows no value of a formula from before."""
    if b"fullCalcOnLoad=" in book:
        return re.sub(rb'fullCalcOnLoad="[^"]*"', b'fullCalcOnLoad="1"', book)
    if b"<calcPr" in book:
        return book.replace(b"<calcPr", b'<calcPr fullCalcOnLoad="1"', 1)
    return _BEFORE_CALCULATION.sub(rb'\1<calcPr fullCalcOnLoad="1"/>', book, count=1)


def _row_with(row: bytes, number: int, cells: Mapping[int, bytes], path: Path) -> bytes:
    """The XML of a row with these cells: column → type and content."""
    start, inside = row[: row.index(b">")].rstrip(b"/"), row[row.index(b">") + 1 :].removesuffix(b"</row>")
    found: dict[int, bytes] = {}
    for match in _ANY_CELL.finditer(inside):
        name = _PLACE.search(match[1])
        found[_number(name[1]) if name else len(found) + 1] = match[0]
    styled = _STYLE.search(start) if _OWN_STYLE in start else None
    for column, content in cells.items():
        before = _ANY_CELL.match(found.get(column, b""))
        if before is not None and b"<f" in (before[2] or b""):
            raise UserError(f"{path}, cell {_letters(column - 1)}{number} is a formula; change it in the spreadsheet")
        attributes = f' r="{_letters(column - 1)}{number}"'.encode() + (styled[0] if styled else b"")
        attributes = attributes if before is None else _TYPE.sub(b"", before[1])
        found[column] = b"<c" + attributes.rstrip() + content
    return start + b">" + b"".join(found[column] for column in sorted(found)) + b"</row>"


def _content(xml: bytes, number: int, column: int) -> bytes:
    """The type and content of a cell, as `_row_with` takes them; nothing where it is not to be copied."""
    row = next((match for match in _ROW.finditer(xml) if int(match[1]) == number), None)
    wanted = f"{_letters(column - 1)}{number}".encode()
    for match in _ANY_CELL.finditer(b"" if row is None else row[0]):
        name, inside = _PLACE.search(match[1]), match[2] or b""
        if name is not None and name[1] == wanted and inside and b"<f" not in inside:
            kind = _TYPE.search(match[1])
            return (kind[0] if kind else b"") + b">" + inside + b"</c>"
    return b""


def _typed(text: str) -> bytes:
    if not text:
        return b"/>"
    if text.isdecimal():
        return f"><v>{text}</v></c>".encode()
    return f' t="inlineStr"><is><t>{escape(text)}</t></is></c>'.encode()


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


def _refuse_endless(path: Path, name: str) -> None:
    """Refuse a sheet whose rectangle of cells, filled or not, does not fit into memory, before it is asked for."""
    if path.suffix.lower() == ".ods":
        return
    _, xml = _sheet_xml(path, name)
    rows = max((int(match[1]) for match in _ROW_NUMBER.finditer(xml)), default=0)
    far = {match[1] for match in _FAR_CELL.finditer(xml)}
    columns = max((_number(letters) for letters in far), default=26**2)
    if rows * columns > _MOST_CELLS:
        raise UserError(
            f"{path}, sheet {name!r}: its cells reach to {_letters(columns - 1)}{rows}; delete the rows and columns "
            "beyond the table, or save it as CSV"
        )


def _refuse_lost(path: Path, name: str, merged: list[tuple[tuple[int, int], tuple[int, int]]]) -> None:
    """Refuse cells that would be read as blank and are not: merged ones, and formulas without a value."""
    if merged:
        (top, left), (bottom, right) = merged[0]
        where = f"{_letters(left)}{top + 1}:{_letters(right)}{bottom + 1}"
        raise UserError(
            f"{path}, sheet {name!r}: cells are merged ({where}), so all but the first look blank; unmerge them and "
            "fill each"
        )
    if path.suffix.lower() == ".ods":
        with zipfile.ZipFile(path) as archive:
            if b"covered-table-cell" in archive.read("content.xml"):
                raise UserError(
                    f"{path}: cells are merged, so all but the first look blank; unmerge them and fill each"
                )
        return
    _, xml = _sheet_xml(path, name)
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


def _sheet_xml(path: Path, name: str) -> tuple[str, bytes]:
    """Where a sheet is in the archive, and its XML."""
    with zipfile.ZipFile(path) as archive:
        sheets = ElementTree.fromstring(archive.read("xl/workbook.xml")).iter()
        links = ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))
        link_id = next(
            value
            for one in sheets
            if one.tag.endswith("}sheet") and one.get("name") == name
            for key, value in one.attrib.items()
            if key.endswith("}id")
        )
        target = next(link.attrib["Target"] for link in links if link.attrib["Id"] == link_id)
        place = target.removeprefix("/") if target.startswith("/") else f"xl/{target}"
        if archive.getinfo(place).file_size > _LARGEST:
            raise UserError(f"{path}, sheet {name!r}: more than {_LARGEST >> 30} GiB when unpacked; save it as CSV")
        return place, archive.read(place)


def _letters(column: int) -> str:
    """A, B, … Z, AA and so on."""
    before, last = divmod(column, 26)
    return (_letters(before - 1) if before else "") + chr(ord("A") + last)


def _number(name: bytes) -> int:
    """The column of a cell such as B7, counted from 1."""
    number = 0
    for letter in name.decode().rstrip("0123456789"):
        number = 26 * number + ord(letter) - ord("A") + 1
    return number
