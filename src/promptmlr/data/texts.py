"""What else a class is called: a CSV with the columns class and text, several lines per class."""

import csv
from collections.abc import Sequence

from promptmlr.errors import UserError, nearest
from promptmlr.names import checked_path

__all__ = ["texts_of"]


def texts_of(file: str, class_names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Class → its texts, in the order of the file; classes that it leaves out are missing.

    Args:
        file: a CSV.
        class_names: C names, with spaces for underscores.

    Raises:
        UserError: no such file, other columns, no text in a line or in all of it, or a class that is none of these.
    """
    path = checked_path(file)
    found: dict[str, tuple[str, ...]] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as opened:
            rows = csv.DictReader(opened)
            columns = rows.fieldnames or ()
            if not {"class", "text"} <= set(columns):
                raise UserError(f"{path}: it needs the columns class and text, and has {', '.join(columns) or 'none'}")
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                name, text = ((row[key] or "").strip() for key in ("class", "text"))
                name = name.replace("_", " ")
                if name not in class_names:
                    raise UserError(f"{where}: unknown class {name!r}; {nearest(name, class_names)}")
                if not text or None in row:
                    why = "no text" if not text else "more than two cells: put a text with commas in quotes"
                    raise UserError(f"{where}: {why}")
                found[name] = (*found.get(name, ()), text)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if not found:
        raise UserError(f"{path}: no text; write lines of class,text, or leave the file out")
    return found
