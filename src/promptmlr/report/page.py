"""One self-contained HTML page of findings with embedded pictures, by the template `page.html`.

All text is escaped. Tables and figures scroll on narrow screens. A click on a column's heading sorts its table; the
page is complete without this script.
"""

import base64
from collections.abc import Iterable

from jinja2 import Environment, PackageLoader, StrictUndefined

from promptmlr.report.findings import MARKS, Finding, Table

__all__ = ["as_page"]


def as_page(title: str, lead: str, findings: Iterable[Finding]) -> str:
    """The page as HTML, with pictures and long tables.

    Args:
        title: of the page.
        lead: its summary in a sentence or two.
        findings: its content.
    """
    shown = [(type(one).__name__, one) for one in findings if not (isinstance(one, Table) and one.brief)]
    return _TEMPLATES.get_template("page.html").render(title=title, lead=lead, findings=shown)


def _data_uri(picture: bytes) -> str:
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


_TEMPLATES = Environment(
    loader=PackageLoader("promptmlr.report", "."),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    undefined=StrictUndefined,
)
_TEMPLATES.filters["data_uri"] = _data_uri
_TEMPLATES.globals.update(marks=MARKS, zip=zip)
