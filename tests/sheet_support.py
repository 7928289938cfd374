"""XLSX files, written as small as they can be: to read them is what is tested."""

import datetime
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
LINKS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
DAY = 1  # the number of the style of dates


def write_xlsx(
    path: Path, sheets: Mapping[str, Sequence[Sequence[object]]], merged: Sequence[str] = (), hidden: Sequence[str] = ()
) -> Path:
    """A workbook; a text that starts with = is a formula nobody has computed, one with # an error."""
    numbered = list(enumerate(sheets.items(), start=1))
    states = dict.fromkeys(hidden, 'state="hidden"')
    listed = "".join(
        f'<sheet name={quoteattr(name)} sheetId="{i}" r:id="r{i}" {states.get(name, "")}/>' for i, (name, _) in numbered
    )
    links = "".join(
        f'<Relationship Id="r{i}" Type="{LINKS}/worksheet" Target="worksheets/sheet{i}.xml"/>' for i, _ in numbered
    )
    styles = f'<Relationship Id="s" Type="{LINKS}/styles" Target="styles.xml"/>'
    joined = (
        f"<mergeCells>{''.join(f'<mergeCell ref={quoteattr(one)}/>' for one in merged)}</mergeCells>" if merged else ""
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="xml" ContentType="application/xml"/>'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            "</Types>",
        )
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="b" Type="{LINKS}/officeDocument" '
            'Target="xl/workbook.xml"/></Relationships>',
        )
        archive.writestr("xl/workbook.xml", f'<workbook {MAIN} xmlns:r="{LINKS}"><sheets>{listed}</sheets></workbook>')
        archive.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{PACKAGE}/relationships">{links}{styles}</Relationships>',
        )
        archive.writestr(
            "xl/styles.xml", f'<styleSheet {MAIN}><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>'
        )
        for i, (_, rows) in numbered:
            body = "".join(
                f'<row r="{r}">{"".join(_cell(f"{chr(64 + c)}{r}", value) for c, value in enumerate(row, 1))}</row>'
                for r, row in enumerate(rows, 1)
            )
            archive.writestr(
                f"xl/worksheets/sheet{i}.xml", f"<worksheet {MAIN}><sheetData>{body}</sheetData>{joined}</worksheet>"
            )
    return path


def _cell(place: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, datetime.date):
        return f'<c r="{place}" s="{DAY}"><v>{(value - datetime.date(1899, 12, 30)).days}</v></c>'
    text = escape(str(value))
    if text.startswith("="):
        return f'<c r="{place}"><f>{text[1:]}</f><v></v></c>'
    if text.startswith("#"):
        return f'<c r="{place}" t="e"><v>{text}</v></c>'
    if isinstance(value, int | float):
        return f'<c r="{place}"><v>{value}</v></c>'
    return f'<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>'
