"""Checks of names from users: of classes and of paths."""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from promptmlr.errors import UserError, first_names

__all__ = ["checked_class_names", "checked_path", "first_names", "shown"]


def checked_class_names(names: Iterable[str], where: str = "class_names") -> tuple[str, ...]:
    """Class names with spaces for underscores, as a text encoder should read them.

    Args:
        names: as written; any sequence of texts.
        where: the file or the argument, for messages.

    Raises:
        UserError: there is no name; one is no text, empty or broken by control characters; two become the same.
    """
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise UserError(f"{where} must be a list of class names, not {names!r}")
    written = list(names)
    if not written:
        raise UserError(f"{where}: no class; at least one is needed")
    spaced = tuple(_spaced(name, f"{where}: class {i} of {len(written)}") for i, name in enumerate(written, start=1))
    twice, times = Counter(spaced).most_common(1)[0]
    if times > 1:
        same = " and ".join(repr(str(name)) for name, clean in zip(written, spaced, strict=True) if clean == twice)
        raise UserError(f"{where}: duplicate class name {twice!r} ({same}; underscores count as spaces); rename one")
    return spaced


def _spaced(name: str, where: str) -> str:
    if not isinstance(name, str):
        raise UserError(f"{where} is {name!r}; a class name must be a text")
    spaced = name.replace("_", " ").strip()
    if not spaced:
        raise UserError(f"{where} has an empty name")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in spaced):
        raise UserError(f"{where} has the name {spaced!r}; take out line breaks and control characters")
    return spaced


def checked_path(path: str | Path) -> Path:
    """A path that can be looked for and written down, whether or not there is anything.

    Raises:
        UserError: it is not UTF-8, or the file system cannot look for it (a name too long, a folder it may not enter).
    """
    if shown(path) != str(path):
        raise UserError(f"{shown(path)}: this name is not UTF-8; rename it")
    try:
        Path(path).exists()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    return Path(path)


def shown(path: str | Path) -> str:
    r"""A path as text that can be encoded: bytes that are not UTF-8 become \udc80 … \udcff."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")
