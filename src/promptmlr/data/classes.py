"""Classes as a person names them: in a list, or in a file with a line each."""

import os

from promptmlr.errors import UserError
from promptmlr.names import checked_class_names, checked_path

__all__ = ["classes_of"]

SUFFIXES = (".csv", ".txt")


def classes_of(text: str, option: str = "--classes") -> tuple[str, ...]:
    """Class names, with spaces for underscores, in the order in which they are named.

    Args:
        text: names between commas; or a text file, a name a line.
        option: where it was said, for messages.

    Raises:
        UserError: no name, the same one twice, one that cannot be read, or a file that cannot be.
    """
    if not os.path.isfile(text):  # noqa: PTH113 - Path.is_file raises for a list that is too long for a name
        if text.lower().endswith(SUFFIXES):
            raise UserError(f"{option} {text}: no such file; name one, or write the classes between commas")
        return checked_class_names([name for name in text.split(",") if name.strip()], option)
    path = checked_path(text)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    return checked_class_names([line for line in lines if line.strip()], str(path))
