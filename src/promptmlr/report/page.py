"""One self-contained HTML page of findings, with the pictures inside it; `page.html` says how each of them looks.

Everything given as text is escaped. Tables and figures scroll by themselves where a screen is narrow. A click on the
head of a column sorts its table; that is all the script does, and without it the page is complete.
"""

import base64
from collections.abc import Iterable

from jinja2 import Environment, PackageLoader, StrictUndefined

from promptmlr.report.findings import MARKS, Finding, Table

__all__ = ["as_page"]


def as_page(title: str, lead: str, findings: Iterable[Finding]) -> str:
    """A page, from top to bottom, with pictures and long tables.

    Args:
        title: of the page.
        lead: what it says, in a sentence or two.
        findings: what follows.
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
