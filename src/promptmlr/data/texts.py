"""What else a class is called: a CSV with the columns class and text, several lines per class."""

from collections.abc import Sequence

from promptmlr.data.class_table import rows_of_classes
from promptmlr.errors import UserError

__all__ = ["texts_of"]


def texts_of(file: str, class_names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Class → its texts, in the order of the file; classes that it leaves out are missing.

    Args:
        file: a CSV.
        class_names: C names, with spaces for underscores.

    Raises:
        UserError: no such file, other columns, no text in a line or in all of it, or a class that is none of these.
    """
    found: dict[str, tuple[str, ...]] = {}
    for where, name, text in rows_of_classes(file, "text", class_names):
        if not text:
            raise UserError(f"{where}: no text")
        found[name] = (*found.get(name, ()), text)
    if not found:
        raise UserError(f"{file}: no text; write lines of class,text, or leave the file out")
    return found
