"""What a person knows of classes: a CSV with the column class and one other."""

import csv
from collections.abc import Iterator, Sequence

from promptmlr.errors import UserError, nearest
from promptmlr.names import checked_path, first_names

__all__ = ["rows_of_classes"]


def rows_of_classes(file: str, column: str, class_names: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Where each line stands, the class it is about, and what it says.

    Args:
        file: a CSV.
        column: the name of the other column.
        class_names: C names, with spaces for underscores.

    Raises:
        UserError: no such file, other columns, a class that is none of these, or more cells than columns.
    """
    path = checked_path(file)
    try:
        with path.open(newline="", encoding="utf-8-sig") as opened:
            rows = csv.DictReader(opened)
            columns = rows.fieldnames or ()
            if not {"class", column} <= set(columns):
                has = first_names(columns) or "none"
                raise UserError(f"{path}: it needs the columns class and {column}, and has {has}")
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                name, said = ((row[key] or "").strip() for key in ("class", column))
                name = name.replace("_", " ")
                if name not in class_names:
                    raise UserError(f"{where}: unknown class {name!r}; {nearest(name, class_names)}")
                if None in row:
                    raise UserError(f"{where}: more cells than columns; put what has commas in quotes")
                yield where, name, said
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
